//! The vectors of a quantised graph: rotated, eight bits a component for walks and four more for ranking.
//!
//! `x = scale * (16 code + fine)`, one scale a vector. Vectors in full precision are not kept.

use std::sync::Arc;

use crate::error::Result;
use crate::kernels::{Kernels, prefetch};
use crate::living::LiveStore;
use crate::metric::Metric;
use crate::snapshot::sections::{Section, Sections, Tag};
use crate::spec::{IndexSpec, Kind};
use crate::vectors::Arena;

use super::coding::Coding;
use super::query::Query;
use super::rotation::Rotation;
use super::scan::ScanCodes;

/// Largest code. -128 is left out, so that codes are symmetric.
const MAX_CODE: i32 = 127;
/// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, in any vector unit; taking it off again leaves a float.
const ROUND: f32 = 12_582_912.0;
/// Steps of `fine` in one step of a code.
const FINE_STEPS: i32 = 16;

/// The nearest integer of what is within 2^22. `round_ties_even` would be a call on a processor that is not known.
#[inline]
pub(super) fn rounded(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// Scale and squared norm of a vector.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Measure {
    /// What a step of a code is worth.
    pub(crate) scale: f32,
    /// Squared norm of the vector, from its centre.
    pub(crate) squared: f32,
}

/// An eight-bit code with what its steps are worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'a> {
    pub(crate) values: &'a [i8],
    pub(crate) scale: f32,
}

/// A vector as the store keeps it.
#[derive(Debug)]
pub(crate) struct Encoded {
    codes: Vec<i8>,
    /// Two steps a byte.
    fine: Vec<u8>,
    measure: Measure,
}

/// A row whose place need not be found again for each comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    code: Code<'a>,
    squared: f32,
}

/// The vectors of all rows.
#[derive(Debug)]
pub(crate) struct QuantizedStore {
    pub(crate) metric: Metric,
    pub(crate) kernels: Kernels,
    /// How differences are coded, of neighbours and of what is scanned while there is no graph.
    pub(crate) coding: Coding,
    rotation: Arc<Rotation>,
    /// What is taken off each vector before it is rotated: for `l2` the first vector, so that distances are not small
    /// differences of large numbers; nothing for the others, which are not invariant under a shift.
    centre: Vec<f32>,
    codes: Arena<i8>,
    fine: Arena<u8>,
    measures: Arena<Measure>,
    n_rows: usize,
    /// While there is no graph to walk.
    scan: Option<ScanCodes>,
}

/// Writes the code of a rotated vector; the zero code where it has no normal scale.
pub(crate) fn quantize(rotated: &[f32], values: &mut [i8]) -> Measure {
    let largest = rotated.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = Some(largest / MAX_CODE as f32).filter(|scale| scale.is_normal()).unwrap_or_default();
    let inverse = if scale > 0.0 { MAX_CODE as f32 / largest } else { 0.0 };
    for (value, x) in values.iter_mut().zip(rotated) {
        *value = rounded(x * inverse) as i8;
    }
    Measure { scale, squared: rotated.iter().map(|x| x * x).sum::<f32>().min(f32::MAX) }
}

impl QuantizedStore {
    pub(crate) fn new(spec: &IndexSpec) -> Result<Self> {
        let kernels = spec.kernels()?;
        let seed = if spec.kind == Kind::Pq { spec.pq.seed } else { spec.qg.seed };
        let rotation = Arc::new(Rotation::new(spec.dim, seed));
        let coding = Coding::of(spec.kind, rotation.padded());
        Ok(Self::with_rotation(spec.metric, kernels, coding, rotation, Vec::new()))
    }

    fn with_rotation(
        metric: Metric,
        kernels: Kernels,
        coding: Coding,
        rotation: Arc<Rotation>,
        centre: Vec<f32>,
    ) -> Self {
        let padded = rotation.padded();
        Self {
            metric,
            kernels,
            scan: Some(ScanCodes::new(coding.clone(), padded)),
            coding,
            rotation,
            centre,
            codes: Arena::new(padded),
            fine: Arena::new(padded / 2),
            measures: Arena::new(1),
            n_rows: 0,
        }
    }

    /// A store with the rows of a snapshot.
    pub(crate) fn restore(spec: &IndexSpec, sections: &mut Sections) -> Result<Self> {
        let (empty, n_rows) = (Self::new(spec)?, sections.n_rows);
        let padded = empty.padded();
        Ok(Self {
            centre: sections.take_all(Tag::Centre)?,
            codes: sections.take(Tag::Codes, padded, n_rows)?,
            fine: sections.take(Tag::Fine, padded / 2, n_rows)?,
            measures: sections.take(Tag::Measures, 1, n_rows)?,
            n_rows,
            ..empty
        })
    }

    /// The sections of a snapshot, all but the centre row by row.
    pub(crate) fn sections(&self, n_rows: usize) -> [Section; 4] {
        let section = |tag, row_len, n_rows| Section { tag, row_len, n_rows };
        [
            section(Tag::Codes, self.padded(), n_rows),
            section(Tag::Fine, self.padded() / 2, n_rows),
            section(Tag::Measures, size_of::<Measure>(), n_rows),
            section(Tag::Centre, size_of::<f32>(), self.centre.len()),
        ]
    }

    pub(crate) fn keep_before(&mut self) {
        self.codes.keep_before();
        self.fine.keep_before();
        self.measures.keep_before();
    }

    pub(crate) fn forget_before(&mut self) {
        self.codes.forget_before();
        self.fine.forget_before();
        self.measures.forget_before();
    }

    /// The bytes of a row of a section of the store, as they were at `keep_before`.
    pub(crate) fn row_before(&self, tag: Tag, row: u32) -> &[u8] {
        match tag {
            Tag::Codes => bytemuck::cast_slice(self.codes.row_before(row)),
            Tag::Fine => self.fine.row_before(row),
            Tag::Centre => bytemuck::bytes_of(&self.centre[row as usize]),
            _ => bytemuck::cast_slice(self.measures.row_before(row)),
        }
    }

    /// Components of a code.
    pub(crate) fn padded(&self) -> usize {
        self.rotation.padded()
    }

    #[inline]
    pub(crate) fn code(&self, row: u32) -> Code<'_> {
        Code { values: self.codes.row(row), scale: self.measure(row).scale }
    }

    /// What a search scans while there is no graph.
    pub(crate) fn scan_codes(&self) -> Option<&ScanCodes> {
        self.scan.as_ref()
    }

    /// Makes the codes of a scan, or frees them.
    pub(crate) fn set_scanned(&mut self, is_scanned: bool) {
        self.scan = is_scanned.then(|| ScanCodes::new(self.coding.clone(), self.padded()));
        if is_scanned {
            (0..self.n_rows as u32).for_each(|row| self.set_scan_code(row));
        }
    }

    fn set_scan_code(&mut self, row: u32) {
        if let Some(mut scan) = self.scan.take() {
            scan.set(self, row, self.n_rows);
            self.scan = Some(scan);
        }
    }

    #[inline]
    pub(crate) fn measure(&self, row: u32) -> Measure {
        self.measures.get(row)
    }

    #[inline]
    pub(crate) fn prefetch(&self, row: u32) {
        prefetch(self.codes.row(row));
    }

    /// Asks for what ranking a row reads beyond its code.
    pub(crate) fn prefetch_fine(&self, row: u32) {
        prefetch(self.fine.row(row));
    }

    /// A row, to be compared with others.
    #[inline]
    pub(crate) fn hold(&self, row: u32) -> Held<'_> {
        let Measure { scale, squared } = self.measure(row);
        Held { code: Code { values: self.codes.row(row), scale }, squared }
    }

    /// Distance of two rows.
    #[inline]
    pub(crate) fn distance(&self, a: Held<'_>, b: Held<'_>) -> f32 {
        let product = self.kernels.dot_i8(a.code.values, b.code.values) as f32 * (a.code.scale * b.code.scale);
        self.distance_of(product, a.squared, b.squared)
    }

    /// Distance of a row to a query, as walks take it.
    #[inline]
    pub(crate) fn distance_to(&self, query: &Query, row: u32) -> f32 {
        self.distance_by(query, row, self.measure(row))
    }

    /// As [`QuantizedStore::distance_to`] for a row whose measure is at hand.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a scan of rows spent a fifth of its time on the call")]
    pub(crate) fn distance_by(&self, query: &Query, row: u32, measure: Measure) -> f32 {
        let product = query.inner_product(&self.kernels, self.codes.row(row), measure.scale);
        self.distance_of(product, query.squared(), measure.squared)
    }

    /// Distance of a row to a query, as near as the store knows it.
    pub(crate) fn fine_distance_to(&self, query: &Query, row: u32) -> f32 {
        let measure = self.measure(row);
        let product = query.inner_product(&self.kernels, self.codes.row(row), measure.scale)
            + query.fine_product(&self.kernels, self.fine.row(row), measure.scale / FINE_STEPS as f32);
        let distance = self.distance_of(product, query.squared(), measure.squared);
        // Magnitudes near the end of f32 can lead to NaN.
        let distance = if distance.is_nan() { f32::MAX } else { distance };
        match self.metric {
            Metric::Cosine => distance.clamp(0.0, 2.0),
            Metric::Dot => distance.clamp(f32::MIN, f32::MAX),
            Metric::L2 => distance.clamp(0.0, f32::MAX),
        }
    }

    #[inline]
    fn distance_of(&self, product: f32, a_squared: f32, b_squared: f32) -> f32 {
        match self.metric {
            Metric::Cosine => 1.0 - product,
            Metric::Dot => -product,
            Metric::L2 => a_squared + b_squared - 2.0 * product,
        }
    }

    /// Brings a prepared vector into the form that is stored: from the centre, rotated.
    pub(crate) fn rotate(&self, vector: &[f32], rotated: &mut Vec<f32>) {
        rotated.resize(self.padded(), 0.0);
        if self.centre.is_empty() {
            self.rotation.apply(&self.kernels, vector, rotated);
        } else {
            let shifted: Vec<f32> = vector.iter().zip(&self.centre).map(|(x, c)| x - c).collect();
            self.rotation.apply(&self.kernels, &shifted, rotated);
        }
    }

    /// A row as a query.
    pub(crate) fn query_of_row(&self, row: u32, rotated: &mut Vec<f32>, query: &mut Query) {
        let Code { values, scale } = self.code(row);
        rotated.clear();
        rotated.extend(values.iter().map(|&value| f32::from(value) * scale));
        query.set(&self.kernels, &self.coding, rotated);
    }
}

impl LiveStore for QuantizedStore {
    type Encoded<'a> = Encoded;

    fn empty_like(&self) -> Self {
        let (coding, rotation) = (self.coding.clone(), Arc::clone(&self.rotation));
        Self::with_rotation(self.metric, self.kernels, coding, rotation, self.centre.clone())
    }

    fn ensure(&mut self, n_rows: usize) {
        self.codes.ensure(n_rows);
        self.fine.ensure(n_rows);
        self.measures.ensure(n_rows);
        self.n_rows = self.n_rows.max(n_rows);
    }

    fn begin(&mut self, vector: &[f32]) {
        if self.metric == Metric::L2 && self.centre.is_empty() {
            self.centre = vector.to_vec();
        }
    }

    fn encode(&self, vector: &[f32]) -> Encoded {
        let mut rotated = Vec::new();
        self.rotate(vector, &mut rotated);
        let largest = rotated.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = Some(largest / MAX_CODE as f32).filter(|scale| scale.is_normal()).unwrap_or_default();
        let n = rotated.len();
        let (mut codes, mut fine) = (vec![0; n], vec![0x88; n / 2]);
        if scale > 0.0 {
            let inverse = (MAX_CODE * FINE_STEPS) as f32 / largest;
            for (i, x) in rotated.iter().enumerate() {
                let steps = rounded(x * inverse) as i32;
                let code = (steps + FINE_STEPS / 2).div_euclid(FINE_STEPS);
                codes[i] = code as i8;
                let nibble = (steps - code * FINE_STEPS + FINE_STEPS / 2) as u8;
                let (at, shift) = if i < n / 2 { (i, 0) } else { (i - n / 2, 4) };
                fine[at] = fine[at] & !(15 << shift) | nibble << shift;
            }
        }
        let squared = rotated.iter().map(|x| x * x).sum::<f32>().min(f32::MAX);
        Encoded { codes, fine, measure: Measure { scale, squared } }
    }

    fn set(&mut self, row: u32, encoded: Encoded) {
        self.codes.row_mut(row).copy_from_slice(&encoded.codes);
        self.fine.row_mut(row).copy_from_slice(&encoded.fine);
        self.measures.set(row, encoded.measure);
        self.set_scan_code(row);
    }

    fn copy(&mut self, row: u32, from: &Self, from_row: u32) {
        self.codes.row_mut(row).copy_from_slice(from.codes.row(from_row));
        self.fine.row_mut(row).copy_from_slice(from.fine.row(from_row));
        self.measures.set(row, from.measure(from_row));
        self.set_scan_code(row);
    }

    fn holds(&self, row: u32, encoded: &Encoded) -> bool {
        self.codes.row(row) == encoded.codes
            && self.fine.row(row) == encoded.fine
            && self.measure(row).scale == encoded.measure.scale
    }

    fn read(&self, row: u32, vectors: &mut Vec<f32>) {
        let packed = self.fine.row(row);
        let fine = packed.iter().map(|byte| byte & 15).chain(packed.iter().map(|byte| byte >> 4));
        let unit = self.measure(row).scale / FINE_STEPS as f32;
        let steps = self.codes.row(row).iter().zip(fine);
        let steps = steps.map(|(&code, fine)| i32::from(code) * FINE_STEPS + i32::from(fine) - FINE_STEPS / 2);
        let mut rotated: Vec<f32> = steps.map(|steps| steps as f32 * unit).collect();
        let start = vectors.len();
        vectors.resize(start + self.rotation.dim(), 0.0);
        self.rotation.invert(&self.kernels, &mut rotated, &mut vectors[start..]);
        vectors[start..].iter_mut().zip(&self.centre).for_each(|(x, c)| *x += c);
    }

    fn all_linked(&mut self) {
        self.set_scanned(false);
    }

    fn check_next(&self) -> bool {
        self.codes.check_next() || self.fine.check_next() || self.measures.check_next()
    }

    fn memory_bytes(&self) -> usize {
        let scan_bytes = self.scan.as_ref().map_or(0, ScanCodes::memory_bytes);
        self.codes.memory_bytes() + self.fine.memory_bytes() + self.measures.memory_bytes() + scan_bytes
    }
}
