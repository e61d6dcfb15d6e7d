"""Paillier's cryptosystem on phe's keys: keys, proofs, obfuscators, ciphertexts and their batches.

Whatever is encrypted here, phe decrypts, and the other way round. It imports numbers/, and no other
room of arith/.
"""
