//! Worlds for tests: control planes, clocks, certificates and seeds. A dev-dependency only.
