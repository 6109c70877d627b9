//! What a lexical index holds: terms with their postings, and for each row its terms, so that it can be taken back.
//!
//! A removed document leaves nothing behind: document frequencies and the average length are always those of live ones, and
//! there are no tombstones to clean up.

use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::filter::Generation;
use crate::rows::{Rows, mix};

use super::analysis::{Document, TermKey};
use super::postings::{MAX_DOCUMENTS, Posting, PostingsTable, count_in, reserve_some};
use super::stemming::Languages;

/// All that searches read.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) rows: Rows,
    /// By row: the numbers of its terms, ascending, as differences in base 128. Empty for free rows.
    forward: Vec<Box<[u8]>>,
    /// By row.
    lengths: Vec<u32>,
    pub(super) total_length: u64,
    /// By the number of a term.
    keys: Vec<TermKey>,
    postings: PostingsTable,
    /// Numbers of terms by the hash of their key.
    table: HashTable<u32>,
    free_terms: Vec<u32>,
    /// Languages that documents were stemmed by.
    pub(crate) languages: Languages,
    /// Changes when a row comes to hold another document.
    pub(super) generation: Generation,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            rows: Rows::new(),
            forward: Vec::new(),
            lengths: Vec::new(),
            total_length: 0,
            keys: Vec::new(),
            postings: PostingsTable::default(),
            table: HashTable::new(),
            free_terms: Vec::new(),
            languages: Languages::defaults(),
            generation: Generation::next(),
        }
    }

    pub(crate) fn n_documents(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn n_terms(&self) -> usize {
        self.table.len()
    }

    pub(super) fn length(&self, row: u32) -> u32 {
        self.lengths[row as usize]
    }

    pub(super) fn postings(&self, key: TermKey) -> Option<&[Posting]> {
        let number = self.table.find(mix(key), |&number| self.keys[number as usize] == key)?;
        Some(self.postings.of(*number))
    }

    /// Stores a document under an id in place of what the id had.
    pub(crate) fn put(&mut self, id: u64, document: &Document) -> Result<()> {
        if self.rows.row_of(id).is_none() && self.rows.len() >= MAX_DOCUMENTS {
            return Err(Error::IndexFull { limit: MAX_DOCUMENTS });
        }
        self.remove(id);
        let row = self.rows.allocate()?;
        self.rows.bind(id, row);
        if self.forward.len() < self.rows.n_rows() {
            self.forward.resize_with(self.rows.n_rows(), Box::default);
            self.lengths.resize(self.rows.n_rows(), 0);
        }
        let mut numbers: Vec<u32> = document.terms.iter().map(|&(key, count)| self.count(key, row, count)).collect();
        numbers.sort_unstable();
        let mut packed = Vec::with_capacity(numbers.len() * 2);
        let mut last = 0;
        for number in numbers {
            push_number(&mut packed, number - last);
            last = number;
        }
        self.forward[row as usize] = packed.into_boxed_slice();
        self.lengths[row as usize] = document.length;
        self.total_length += u64::from(document.length);
        self.generation = Generation::next();
        Ok(())
    }

    /// Removes an id; tells whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(row) = self.rows.row_of(id) else { return false };
        for number in unpack(&std::mem::take(&mut self.forward[row as usize])) {
            self.withdraw(number, std::iter::once(row));
        }
        self.forget(id)
    }

    /// The terms of some ids with the rows in which they occur, in order, each pair once.
    pub(super) fn places(&self, ids: &[u64]) -> Vec<(u32, u32)> {
        let rows = ids.iter().filter_map(|&id| self.rows.row_of(id));
        let mut places: Vec<(u32, u32)> =
            rows.flat_map(|row| unpack(&self.forward[row as usize]).map(move |number| (number, row))).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Takes rows, which are given in order, off a term; one that occurs nowhere any more is forgotten.
    pub(super) fn withdraw(&mut self, number: u32, rows: impl Iterator<Item = u32>) {
        if self.postings.remove_all(number, rows) {
            let key = self.keys[number as usize];
            if let Ok(entry) = self.table.find_entry(mix(key), |&of| of == number) {
                entry.remove();
            }
            self.free_terms.push(number);
        }
    }

    /// How many rows a term has.
    pub(super) fn n_postings(&self, number: u32) -> usize {
        self.postings.of(number).len()
    }

    /// Removes an id that was taken off all of its terms; tells whether it was there. A filter need not be told: to it the
    /// row is one in which no term occurs, until it holds another document.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        let Some(row) = self.rows.unbind(id) else { return false };
        self.forward[row as usize] = Box::default();
        self.total_length -= u64::from(std::mem::take(&mut self.lengths[row as usize]));
        self.rows.release(row);
        true
    }

    /// Notes that a term occurs in a row, and returns its number.
    fn count(&mut self, key: TermKey, row: u32, count: u32) -> u32 {
        let Self { table, keys, postings, free_terms, .. } = self;
        if let Some(&number) = table.find(mix(key), |&number| keys[number as usize] == key) {
            postings.insert(number, row, count);
            return number;
        }
        let number = free_terms.pop().unwrap_or(keys.len() as u32);
        if number as usize == keys.len() {
            reserve_some(keys);
            keys.push(key);
        } else {
            keys[number as usize] = key;
        }
        postings.begin(number, row, count);
        table.insert_unique(mix(key), number, |&number| mix(keys[number as usize]));
        number
    }

    /// A larger table of terms when `additional` more would make it grow. Made without a lock that readers need, and put in
    /// place by [`State::replace_table`], so that nobody waits for it.
    pub(crate) fn grown_table(&self, additional: usize) -> Option<HashTable<u32>> {
        let wanted = self.table.len() + additional;
        (wanted > self.table.capacity() && self.table.len() > 1024).then(|| {
            let mut grown = HashTable::with_capacity(wanted.max(self.table.len() * 3 / 2));
            let hash = |&number: &u32| mix(self.keys[number as usize]);
            for &number in &self.table {
                grown.insert_unique(hash(&number), number, hash);
            }
            grown
        })
    }

    /// Puts a table in place and returns the old one, to be dropped at leisure.
    pub(crate) fn replace_table(&mut self, grown: HashTable<u32>) -> HashTable<u32> {
        std::mem::replace(&mut self.table, grown)
    }

    /// Frees all memory of an index that has become empty.
    pub(crate) fn reset_if_empty(&mut self) {
        if self.rows.len() == 0 && self.rows.n_rows() > 0 {
            *self = Self::new();
        }
    }

    /// The keys of all terms, in an order in which `documents` numbers them.
    pub(crate) fn keys(&self) -> Vec<TermKey> {
        let mut numbers: Vec<u32> = self.table.iter().copied().collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| self.keys[number as usize]).collect()
    }

    /// Calls `visit` with each document: id, length, and terms by their place in `keys`, ascending, with counts.
    pub(crate) fn documents(&self, mut visit: impl FnMut(u64, u32, &[(u32, u32)])) {
        let mut places = vec![0_u32; self.keys.len()];
        let mut numbers: Vec<u32> = self.table.iter().copied().collect();
        numbers.sort_unstable();
        for (place, number) in (0..).zip(numbers) {
            places[number as usize] = place;
        }
        let mut live: Vec<(u64, u32)> = self.rows.live().collect();
        live.sort_unstable_by_key(|&(_, row)| row);
        let mut terms = Vec::new();
        for (id, row) in live {
            terms.clear();
            terms.extend(unpack(&self.forward[row as usize]).map(|number| {
                let count = count_in(self.postings.of(number), row);
                (places[number as usize], count.unwrap_or_default())
            }));
            visit(id, self.length(row), &terms);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let forward: usize = self.forward.iter().map(|packed| packed.len()).sum();
        self.rows.memory_bytes()
            + self.forward.capacity() * size_of::<Box<[u8]>>()
            + forward
            + self.lengths.capacity() * size_of::<u32>()
            + self.keys.capacity() * size_of::<TermKey>()
            + self.postings.memory_bytes()
            + self.table.allocation_size()
            + self.free_terms.capacity() * size_of::<u32>()
    }
}

/// Appends a number in base 128, low digits first.
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front of a slice, unless it ends too early or does not fit.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..32).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        let digit = u32::from(first & 0x7F);
        if digit << shift >> shift != digit {
            return None;
        }
        number |= digit << shift;
        if first < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The ascending numbers whose differences were packed.
fn unpack(mut packed: &[u8]) -> impl Iterator<Item = u32> {
    let mut last = 0;
    std::iter::from_fn(move || {
        last += take_number(&mut packed)?;
        Some(last)
    })
}
