"""Paillier's cryptosystem on phe's keys: keys, obfuscators, encryption, decryption, proofs.

Whatever is encrypted here, phe decrypts, and the other way round. It imports arith's `entropy`, and
no other room of arith/.
"""
