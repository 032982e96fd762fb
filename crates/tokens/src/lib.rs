//! Signs and verifies tokens. Pure: bytes, keys and a time in, an answer out.
