//! Tests of tokens through the public interface.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod algorithms;
#[cfg(test)]
mod captures;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod issuing;
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod static_keys;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod verdicts;
