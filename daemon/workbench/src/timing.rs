//! How long calls take.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use postern_plugin::{CallError, LoadedDriver};
use serde::Serialize;

use crate::outcome::Function;
use crate::request::Request;

/// One call more that is not counted, for so many that are.
const WARM_UP: u32 = 10;

/// What a number of calls took. Times are microseconds, a fresh instance of the driver and
/// the copying of request and answer included; admission is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Which function was called.
    pub of: Function,
    /// How often.
    pub calls: u32,
    /// Calls in a second, one after the other.
    pub per_second: f64,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// Nine of ten took no longer.
    pub p90_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Fuel of one call: the same on every machine.
    pub fuel: u64,
    /// How many calls took how long.
    pub histogram: Vec<Bucket>,
}

/// Calls that took less than `below_us`, and not less than the bucket before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Microseconds.
    pub below_us: u64,
    /// How many.
    pub calls: u32,
}

/// Why there are no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing to measure, as call {call} gives no decision: {source}")]
pub struct TimingError {
    /// Which call, those that are not counted included.
    pub call: u32,
    /// Why.
    pub source: CallError,
}

/// Calls a driver over and over: the endpoint's function if the request has one.
///
/// # Errors
/// A call fails.
pub fn time(
    driver: &LoadedDriver,
    request: &Request,
    calls: NonZeroU32,
) -> Result<Timing, TimingError> {
    let request = &with_state(driver, request);
    let warm_up = calls.get().div_ceil(WARM_UP);
    let mut fuel = 0;
    for number in 1..=warm_up {
        fuel = call(driver, request).map_err(|source| TimingError { call: number, source })?;
    }
    let mut times = Vec::new();
    let began = Instant::now();
    for number in 1..=calls.get() {
        let began = Instant::now();
        call(driver, request)
            .map_err(|source| TimingError { call: warm_up.saturating_add(number), source })?;
        times.push(began.elapsed());
    }
    let total = began.elapsed();
    times.sort_unstable();
    let of = if request.endpoint.is_some() { Function::Endpoint } else { Function::Network };
    Ok(Timing {
        of,
        calls: calls.get(),
        per_second: f64::from(calls.get()) / total.as_secs_f64(),
        p50_us: percentile(&times, 50),
        p90_us: percentile(&times, 90),
        p99_us: percentile(&times, 99),
        max_us: percentile(&times, 100),
        fuel,
        histogram: histogram(&times),
    })
}

/// The request with the network's state, as the daemon has it by the time it asks for an
/// endpoint. Where the network is refused, the endpoint's call will tell.
fn with_state(driver: &LoadedDriver, request: &Request) -> Request {
    let mut request = request.clone();
    if request.own_state
        && request.endpoint.is_some()
        && let Ok(decision) = driver.network(&request.context, &request.network)
    {
        request.network.state = decision.state;
    }
    request
}

/// One call, and its fuel.
fn call(driver: &LoadedDriver, request: &Request) -> Result<u64, CallError> {
    let (context, network) = (&request.context, &request.network);
    match &request.endpoint {
        None => {
            let observed = driver.observe_network(context, network);
            observed.answer.map(|_| observed.usage.fuel)
        }
        Some(endpoint) => {
            let observed = driver.observe_endpoint(context, network, endpoint);
            observed.answer.map(|_| observed.usage.fuel)
        }
    }
}

/// The time that so many of a hundred do not exceed (the nearest rank), in microseconds.
fn percentile(sorted: &[Duration], share: usize) -> f64 {
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// Buckets that double, from the first to the last that has calls.
fn histogram(sorted: &[Duration]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for time in sorted {
        let below_us = (time.as_micros() as u64 + 1).next_power_of_two();
        while buckets.last().is_none_or(|bucket| bucket.below_us < below_us) {
            let next = buckets.last().map_or(below_us, |bucket| bucket.below_us * 2);
            buckets.push(Bucket { below_us: next, calls: 0 });
        }
        if let Some(bucket) = buckets.last_mut() {
            bucket.calls += 1;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(us: &[u64]) -> Vec<Duration> {
        us.iter().map(|us| Duration::from_micros(*us)).collect()
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = times(&(1..=200).collect::<Vec<_>>());
        let at = |share| percentile(&times, share).round() as u64;
        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
    }

    #[test]
    fn every_call_is_in_one_bucket_and_none_is_left_out_between() {
        let buckets = histogram(&times(&[3, 5, 7, 40]));
        let pairs: Vec<_> = buckets.iter().map(|b| (b.below_us, b.calls)).collect();
        assert_eq!(pairs, [(4, 1), (8, 2), (16, 0), (32, 0), (64, 1)]);
    }
}
