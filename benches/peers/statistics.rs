//! Medians and quartiles.

/// Sorted numbers, at least one.
pub struct Sample(Vec<f64>);

impl Sample {
    /// `None` if there are no numbers.
    pub fn new(mut numbers: Vec<f64>) -> Option<Sample> {
        numbers.sort_by(f64::total_cmp);
        (!numbers.is_empty()).then_some(Sample(numbers))
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The distance from the first quartile to the third: half of the numbers are within it.
    pub fn interquartile_range(&self) -> f64 {
        self.quantile(0.75) - self.quantile(0.25)
    }

    fn quantile(&self, part: f64) -> f64 {
        let place = part * (self.0.len() - 1) as f64;
        let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }
}

/// The median, if there are any numbers.
pub fn median(numbers: Vec<f64>) -> Option<f64> {
    Sample::new(numbers).map(|sample| sample.median())
}
