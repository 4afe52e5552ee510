//! In which order a trunk's proxies are tried: by priority, within one by chance as the weights say (as RFC 2782 does for
//! SRV), and those that are down last, never not at all.

use super::document::Proxy;
use crate::random::Random;

/// The proxies' indices in the order of trial.
pub fn order(proxies: &[Proxy], is_down: impl Fn(usize) -> bool, random: &mut Random) -> Vec<usize> {
    let mut left: Vec<(usize, &Proxy)> = proxies.iter().enumerate().collect();
    left.sort_by_key(|(at, proxy)| (is_down(*at), proxy.priority, *at));
    let mut order = Vec::with_capacity(left.len());
    while let Some((first, _)) = left.first() {
        let rank = (is_down(*first), left.first().map(|(_, proxy)| proxy.priority));
        let same = left.iter().take_while(|(at, proxy)| (is_down(*at), Some(proxy.priority)) == rank).count();
        let total: u64 = left.iter().take(same).map(|(_, proxy)| u64::from(proxy.weight)).sum();
        let mut drawn = random.below(total);
        // With weights of nought alone, the first.
        let mut chosen = 0;
        for (at, (_, proxy)) in left.iter().take(same).enumerate() {
            let weight = u64::from(proxy.weight);
            if drawn < weight {
                chosen = at;
                break;
            }
            drawn -= weight;
        }
        order.push(left.remove(chosen).0);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(list: &[(u16, u16)]) -> Vec<Proxy> {
        list.iter()
            .map(|(priority, weight)| Proxy { uri: String::new(), priority: *priority, weight: *weight })
            .collect()
    }

    #[test]
    fn priority_first_then_weight_by_chance_and_who_is_down_last() {
        let all = proxies(&[(10, 1), (0, 3), (0, 1), (5, 0), (5, 0)]);
        let mut random = Random::from_number(1);
        let mut heavier = 0;
        for _ in 0..4_000 {
            let order = order(&all, |_| false, &mut random);
            assert_eq!(order.len(), 5);
            assert_eq!(order[2..], [3, 4, 0]);
            heavier += usize::from(order[0] == 1);
        }
        assert!((2_850..3_150).contains(&heavier), "three of four: {heavier}");
        assert_eq!(order(&all, |at| matches!(at, 1 | 2), &mut random)[..3], [3, 4, 0]);
        assert_eq!(order(&all, |_| true, &mut random)[2..], [3, 4, 0]);
        assert_eq!(order(&[], |_| true, &mut random), [0; 0]);
    }
}
