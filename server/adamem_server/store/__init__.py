"""The truth: namespaces, slots, vectors and the journal in one LMDB environment. LMDB and msgspec stay in here."""
