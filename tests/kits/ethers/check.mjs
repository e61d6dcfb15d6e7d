// The trees and typed data once more, by ethers and from the words of docs/spec/trees.md and
// docs/spec/contract.md alone. Takes the folder of the vectors; says what differs, and makes
// vectors of its own for the other side.

import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { Signature, TypedDataEncoder, Wallet, concat, dataSlice, keccak256, recoverAddress,
  toBeHex, zeroPadValue } from "ethers";

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
const hex = (text) => "0x" + text;
const bare = (text) => text.slice(2).toLowerCase();
const word = (value) => zeroPadValue(toBeHex(BigInt(value)), 32);
const address = (text) => zeroPadValue(hex(text), 32);
const short = (hash) => dataSlice(hash, 0, 24);
const zeros = (count) => "0x" + "00".repeat(count);
const EMPTY = zeros(32);

const detail = (block, roster, batch) => short(keccak256(concat([word(block), hex(roster), hex(batch)])));
const leafOf = (account, what) => keccak256(concat([hex(account), zeros(11), "0x01", what, zeros(8)]));
const join = (left, right) => keccak256(concat([short(left), zeros(8), short(right), zeros(8)]));
const sumLeaf = (position, account, amount) => ({
  hash: keccak256(concat(["0x02", word(position), address(account), word(amount)])), total: BigInt(amount),
});
const sumJoin = (left, right) => ({
  hash: keccak256(concat(["0x03", left.hash, word(left.total), right.hash, word(right.total)])),
  total: left.total + right.total,
});

function root(leaves, padding, joined) {
  let level = [...leaves];
  while (level.length & (level.length - 1)) level.push(padding);
  while (level.length > 1) {
    level = level.flatMap((node, at) => (at % 2 ? [] : [joined(node, level[at + 1])]));
  }
  return level[0];
}
const indexRoot = (leaves) => root(leaves, EMPTY, join);
const sumRoot = (entries) => entries.length
  ? root(entries.map((each, at) => sumLeaf(at, each.account, each.amount)), { hash: EMPTY, total: 0n }, sumJoin)
  : { hash: EMPTY, total: 0n };

function proves({ root: wanted, count, position, leaf, proof }) {
  if (!(count >= 1 && count <= 4096 && position >= 0 && position < count)) return false;
  if (proof.length !== (count === 1 ? 0 : Math.ceil(Math.log2(count)))) return false;
  if (proof.some((each) => each.length !== 48)) return false;
  let node = hex(leaf);
  proof.forEach((each, height) => {
    const sibling = concat([hex(each), zeros(8)]);
    node = (position >> height) & 1 ? join(sibling, node) : join(node, sibling);
  });
  return bare(node) === wanted;
}

const TYPES = {
  Commitment: [["bytes32", "job"], ["uint16", "round"], ["bytes32", "root"], ["uint16", "count"],
    ["bytes32", "modelDigest"], ["uint64", "validUntil"]],
  Enrolment: [["bytes32", "job"], ["address", "account"], ["address", "payout"], ["bytes32", "peer"],
    ["uint32", "rows"]],
};
const types = (name) => ({ [name]: TYPES[name].map(([type, field]) => ({ type, name: field })) });
const domainOf = (each) => ({
  name: "assay", version: "1", chainId: each.chain_id, verifyingContract: hex(each.contract),
});
const commitment = (each) => ({
  job: hex(each.job), round: each.round, root: hex(each.root), count: each.count,
  modelDigest: hex(each.model_digest), validUntil: BigInt(each.valid_until),
});
const enrolment = (each) => ({
  job: hex(each.job), account: hex(each.account), payout: hex(each.payout), peer: hex(each.peer),
  rows: each.rows,
});

const differences = [];
let checked = 0;
function same(what, found, wanted) {
  checked += 1;
  if (found !== wanted) differences.push(`${what}: ${found} is not ${wanted}`);
}

// The largest numbers would lose digits as JavaScript's own: they stand in the text.
const typedText = readFileSync(`${folder}/typed_data.json`, "utf8")
  .replace(/("valid_until": )(\d+)/g, '$1"$2"');
const trees = read("trees"), typed = JSON.parse(typedText);
for (const each of trees.contribution_leaves) {
  const found = detail(each.block, each.roster, each.contribution);
  same("detail", bare(found), each.detail);
  same("leaf", bare(leafOf(each.account, found)), each.leaf);
}
for (const each of trees.enrolment_leaves) {
  same("enrolment leaf", bare(keccak256(concat(["0x04", hex(each.digest)]))), each.leaf);
}
for (const each of trees.index_roots) same("index root", bare(indexRoot(each.leaves.map(hex))), each.root);
for (const each of trees.index_proofs) same(each.name, proves(each) ? "holds" : "fails", each.expect);
for (const each of trees.sum_roots) {
  const found = sumRoot(each.entries);
  same("sum root", bare(found.hash), each.root.hash);
  same("sum", found.total.toString(), each.root.total);
}
for (const each of typed.domains) {
  same("separator", bare(TypedDataEncoder.hashDomain(domainOf(each))), each.separator);
}
for (const [name, list, fields] of [
  ["Commitment", typed.commitments, commitment], ["Enrolment", typed.enrolments, enrolment],
]) {
  for (const each of list) {
    const digest = TypedDataEncoder.hash(domainOf(each.domain), types(name), fields(each));
    same(`${name} digest`, bare(digest), each.digest);
    same(`${name} signer`, bare(recoverAddress(digest, hex(each.signature))), each.signer);
  }
}

// What another implementation makes; numbers are drawn from a fixed seed.
let drawn = 0;
const bytes = (size) => {
  drawn += 1;
  return createHash("sha512").update(`ethers ${drawn}`).digest("hex").slice(0, 2 * size);
};
const made = { leaves: [], index_roots: [], sum_roots: [], commitments: [], enrolments: [] };
for (const count of [1, 2, 3, 5, 8, 13, 64, 100]) {
  const rows = Array.from({ length: count }, (_, block) => (
    { account: bytes(20), block, roster: bytes(32), contribution: bytes(32) }));
  const leaves = rows.map((each) => leafOf(each.account, detail(each.block, each.roster, each.contribution)));
  rows.forEach((each, at) => made.leaves.push({ ...each, leaf: bare(leaves[at]) }));
  made.index_roots.push({ leaves: leaves.map(bare), root: bare(indexRoot(leaves)) });
  const entries = rows.map((each) => (
    { account: each.account, amount: (BigInt(hex(bytes(12))) + 1n).toString() }));
  const sum = sumRoot(entries);
  made.sum_roots.push({ entries, hash: bare(sum.hash), total: sum.total.toString() });
}
for (let number = 0; number < 4; number += 1) {
  const wallet = new Wallet(hex(bytes(32)));
  const domain = { chain_id: 1 + number * 1000, contract: bytes(20) };
  const word_ = { job: bytes(32), round: number, root: bytes(32), count: number + 1,
    model_digest: bytes(32), valid_until: "1900000000" };
  const joins = { job: bytes(32), account: bare(wallet.address), payout: bytes(20), peer: bytes(32),
    rows: 7 ** number };
  for (const [name, list, fields, one] of [
    ["Commitment", made.commitments, commitment, word_], ["Enrolment", made.enrolments, enrolment, joins],
  ]) {
    const signed = await wallet.signTypedData(domainOf(domain), types(name), fields(one));
    const { r, s, v } = Signature.from(signed);
    list.push({ domain, ...one, signer: bare(wallet.address), signature: bare(concat([r, s, toBeHex(v)])) });
  }
}
console.log(JSON.stringify({ checked, differences, made }));
