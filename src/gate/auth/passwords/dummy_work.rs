//! The work that a failed check owes, so that how long it took says nothing about whether the user exists.
//!
//! Owns that account. A file may hold several families of hashes, and how one compares with another differs from machine
//! to machine, so they are not converted into one another: every failed check does, in each family that the file has, the
//! work of its most costly hash. Whoever is named, and whether anybody has that name, the same primitives run for the
//! same number of rounds. In a file of one kind and cost that is exactly one hash.

use std::hint::black_box;

use super::hash::Hash;
use super::shape::Scheme;

/// What one failed check owes, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gate::auth) struct DummyWork {
    /// The highest cost. A bcrypt of cost c is 2^c of the same rounds.
    bcrypt: Option<u32>,
    sha256: Option<Rounds>,
    sha512: Option<Rounds>,
    /// The kinds without a cost to choose, each a family of its own.
    fixed: Vec<Scheme>,
}

/// What the hashes of one of the SHA crypts cost in this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounds {
    fewest: u32,
    most: u32,
}

impl Rounds {
    /// The rounds that are done in all. A crypt does at least a thousand rounds, so where the hashes differ a
    /// thousand are added, and what is missing for any of them is again something that can be done exactly.
    fn owed(self) -> u32 {
        const FEWEST_OF_A_CRYPT: u32 = 1_000;
        if self.fewest == self.most {
            self.most
        } else {
            self.most + FEWEST_OF_A_CRYPT
        }
    }

    fn widened(rounds: Option<Rounds>, by: u32) -> Option<Rounds> {
        let Rounds { fewest, most } = rounds.unwrap_or(Rounds {
            fewest: by,
            most: by,
        });
        Some(Rounds {
            fewest: fewest.min(by),
            most: most.max(by),
        })
    }
}

impl DummyWork {
    /// Takes one more hash of the file into the account.
    pub(in crate::gate::auth) fn include(&mut self, scheme: Scheme) {
        match scheme {
            Scheme::Bcrypt { cost } => self.bcrypt = self.bcrypt.max(Some(cost)),
            Scheme::Sha256 { rounds } => self.sha256 = Rounds::widened(self.sha256, rounds),
            Scheme::Sha512 { rounds } => self.sha512 = Rounds::widened(self.sha512, rounds),
            Scheme::Apr1 | Scheme::Md5 | Scheme::Sha1 | Scheme::SaltedSha1 => {
                if !self.fixed.contains(&scheme) {
                    self.fixed.push(scheme);
                }
            }
        }
    }

    /// Does what is still owed after `done`, or all of it if nothing was done.
    pub(in crate::gate::auth) fn make_up(&self, done: Option<Scheme>, password: &[u8]) {
        for scheme in self.owed(done) {
            black_box(Hash::decoy(scheme).verify(password));
        }
    }

    fn owed(&self, done: Option<Scheme>) -> Vec<Scheme> {
        let mut owed = Vec::new();
        match (self.bcrypt, done) {
            // 2^most − 2^cost is the sum of the powers from cost to most − 1.
            (Some(most), Some(Scheme::Bcrypt { cost })) => {
                owed.extend((cost..most).map(|cost| Scheme::Bcrypt { cost }));
            }
            (Some(cost), _) => owed.push(Scheme::Bcrypt { cost }),
            (None, _) => {}
        }
        if let Some(most) = self.sha256.map(Rounds::owed) {
            let rounds = match done {
                Some(Scheme::Sha256 { rounds }) => most.saturating_sub(rounds),
                _ => most,
            };
            owed.extend((rounds > 0).then_some(Scheme::Sha256 { rounds }));
        }
        if let Some(most) = self.sha512.map(Rounds::owed) {
            let rounds = match done {
                Some(Scheme::Sha512 { rounds }) => most.saturating_sub(rounds),
                _ => most,
            };
            owed.extend((rounds > 0).then_some(Scheme::Sha512 { rounds }));
        }
        owed.extend(self.fixed.iter().filter(|scheme| done != Some(**scheme)));
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::auth::passwords::count;

    /// Rounds done: bcrypt, $5$, $6$, $apr1$, $1$, {SHA}, {SSHA}.
    fn units(schemes: &[Scheme]) -> [u64; 7] {
        let mut units = [0; 7];
        for scheme in schemes {
            match *scheme {
                Scheme::Bcrypt { cost } => units[0] += 1 << cost,
                Scheme::Sha256 { rounds } => units[1] += u64::from(rounds),
                Scheme::Sha512 { rounds } => units[2] += u64::from(rounds),
                Scheme::Apr1 => units[3] += 1,
                Scheme::Md5 => units[4] += 1,
                Scheme::Sha1 => units[5] += 1,
                Scheme::SaltedSha1 => units[6] += 1,
            }
        }
        units
    }

    fn done_for(dummy_work: &DummyWork, user: Option<Scheme>) -> [u64; 7] {
        count::take();
        if let Some(scheme) = user {
            assert!(!Hash::decoy(scheme).verify(b"wrong"));
        }
        dummy_work.make_up(user, b"wrong");
        units(&count::take())
    }

    #[test]
    fn a_failed_check_does_the_same_work_whoever_is_named_and_if_nobody_is() {
        let bcrypt = |cost| Scheme::Bcrypt { cost };
        let sha256 = |rounds| Scheme::Sha256 { rounds };
        let sha512 = |rounds| Scheme::Sha512 { rounds };
        for (file, expected) in [
            (vec![bcrypt(5)], [1 << 5, 0, 0, 0, 0, 0, 0]),
            (
                vec![bcrypt(4), bcrypt(7), bcrypt(5)],
                [1 << 7, 0, 0, 0, 0, 0, 0],
            ),
            (vec![sha512(5000)], [0, 0, 5000, 0, 0, 0, 0]),
            (
                vec![sha512(5000), sha512(4700), sha512(1000)],
                [0, 0, 6000, 0, 0, 0, 0],
            ),
            (vec![Scheme::Apr1, Scheme::Md5], [0, 0, 0, 1, 1, 0, 0]),
            (
                vec![Scheme::Sha1, Scheme::SaltedSha1],
                [0, 0, 0, 0, 0, 1, 1],
            ),
            (
                vec![
                    bcrypt(6),
                    bcrypt(4),
                    sha256(5000),
                    sha256(1001),
                    sha512(2000),
                    Scheme::Md5,
                    Scheme::Sha1,
                ],
                [1 << 6, 6000, 2000, 0, 1, 1, 0],
            ),
        ] {
            let mut dummy_work = DummyWork::default();
            file.iter().for_each(|scheme| dummy_work.include(*scheme));
            assert_eq!(done_for(&dummy_work, None), expected, "unknown in {file:?}");
            for scheme in &file {
                assert_eq!(
                    done_for(&dummy_work, Some(*scheme)),
                    expected,
                    "{scheme:?} in {file:?}"
                );
            }
        }
    }

    #[test]
    fn in_a_file_of_one_kind_an_unknown_user_costs_exactly_one_hash() {
        let mut dummy_work = DummyWork::default();
        dummy_work.include(Scheme::Bcrypt { cost: 10 });
        dummy_work.include(Scheme::Bcrypt { cost: 10 });
        assert_eq!(dummy_work.owed(None), [Scheme::Bcrypt { cost: 10 }]);
        assert_eq!(dummy_work.owed(Some(Scheme::Bcrypt { cost: 10 })), []);
    }
}
