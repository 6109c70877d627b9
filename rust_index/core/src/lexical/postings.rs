//! Where a term occurs: rows in order, each with a count, in four bytes together.

/// Most rows an index can have: the rest of 32 bits is the count.
pub(crate) const MAX_DOCUMENTS: usize = 1 << COUNT_SHIFT;
/// Occurrences in one document that count; BM25 hardly tells more of them apart.
pub(crate) const MAX_COUNT: u32 = (1 << (32 - COUNT_SHIFT)) - 1;
const COUNT_SHIFT: u32 = 26;

/// One row and how often the term occurs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting(u32);

impl Posting {
    fn new(row: u32, count: u32) -> Self {
        Self(count.min(MAX_COUNT) << COUNT_SHIFT | row)
    }

    #[inline]
    pub(super) fn row(self) -> u32 {
        self.0 & (MAX_DOCUMENTS as u32 - 1)
    }

    #[inline]
    pub(super) fn count(self) -> u32 {
        self.0 >> COUNT_SHIFT
    }
}

/// The rows of all terms by the number of the term, ascending. Most terms have one row, which is kept in place of a list.
#[derive(Debug, Default)]
pub(super) struct PostingsTable {
    /// By term: its one posting, or the number of its list. A posting has a count and is thus above all numbers of lists.
    heads: Vec<Posting>,
    lists: Vec<Vec<Posting>>,
    free_lists: Vec<u32>,
}

impl PostingsTable {
    /// The list of a term that has one.
    fn list(&self, term: u32) -> Option<usize> {
        let head = self.heads[term as usize];
        (head.count() == 0).then_some(head.0 as usize)
    }

    /// The postings of a term.
    pub(super) fn of(&self, term: u32) -> &[Posting] {
        match self.list(term) {
            Some(list) => &self.lists[list],
            None => std::slice::from_ref(&self.heads[term as usize]),
        }
    }

    /// Gives a new term, or one whose last row was removed, its first row.
    pub(super) fn begin(&mut self, term: u32, row: u32, count: u32) {
        if term as usize == self.heads.len() {
            reserve_some(&mut self.heads);
            self.heads.push(Posting::new(row, count));
        } else {
            self.heads[term as usize] = Posting::new(row, count);
        }
    }

    /// Adds a row that is not there. `O(n)` where it is not the last, some microseconds at 100,000.
    pub(super) fn insert(&mut self, term: u32, row: u32, count: u32) {
        let posting = Posting::new(row, count);
        if let Some(list) = self.list(term) {
            let list = &mut self.lists[list];
            reserve_some(list);
            let place = list.partition_point(|of| of.row() < row);
            list.insert(place, posting);
            return;
        }
        let one = self.heads[term as usize];
        let mut both = Vec::with_capacity(2);
        both.extend(if one.row() < row { [one, posting] } else { [posting, one] });
        let list = self.free_lists.pop().unwrap_or(self.lists.len() as u32);
        if list as usize == self.lists.len() {
            reserve_some(&mut self.lists);
            self.lists.push(both);
        } else {
            self.lists[list as usize] = both;
        }
        self.heads[term as usize] = Posting(list);
    }

    /// Removes rows that are given in order, in one pass; tells whether none is left. `O(rows log n + n)`, where what is
    /// left is moved, some 0.1 ns a posting.
    pub(super) fn remove_all(&mut self, term: u32, mut gone: impl Iterator<Item = u32>) -> bool {
        let Some(number) = self.list(term) else {
            let row = self.heads[term as usize].row();
            return gone.any(|of| of == row);
        };
        let list = &mut self.lists[number];
        let (mut n_kept, mut next) = (0, 0);
        for row in gone {
            let place = next + list[next..].partition_point(|of| of.row() < row);
            list.copy_within(next..place, n_kept);
            n_kept += place - next;
            next = place + usize::from(list.get(place).is_some_and(|of| of.row() == row));
        }
        list.copy_within(next.., n_kept);
        list.truncate(n_kept + list.len() - next);
        match list[..] {
            [] => {
                *list = Vec::new();
                self.free_lists.push(number as u32);
                return true;
            }
            [one] => {
                *list = Vec::new();
                self.free_lists.push(number as u32);
                self.heads[term as usize] = one;
            }
            _ if list.len() < list.capacity() / 2 => list.shrink_to(list.len() + list.len() / 8),
            _ => {}
        }
        false
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let in_lists: usize = self.lists.iter().map(Vec::capacity).sum();
        (self.heads.capacity() + in_lists) * size_of::<Posting>()
            + self.lists.capacity() * size_of::<Vec<Posting>>()
            + self.free_lists.capacity() * size_of::<u32>()
    }
}

/// How often a term occurs in a row.
pub(super) fn count_in(postings: &[Posting], row: u32) -> Option<u32> {
    postings.binary_search_by_key(&row, |of| of.row()).ok().map(|place| postings[place].count())
}

/// Makes room for one more and an eighth: doubling would waste a quarter of an index.
pub(super) fn reserve_some<T>(elements: &mut Vec<T>) {
    if elements.len() == elements.capacity() {
        elements.reserve_exact(elements.len() / 8 + 2);
    }
}
