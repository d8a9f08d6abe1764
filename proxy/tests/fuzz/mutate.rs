//! A plain mutator: seeds, a dictionary, and dice that fall the same way for the same seed.

use crate::harness::Dice;

/// Longest input made, in bytes.
const LONGEST: usize = 40_000;

/// Bytes at which readers change their minds.
const EDGES: [u8; 16] = [
    0, 1, 9, 10, 13, 32, 37, 47, 58, 59, 63, 64, 0x7f, 0x80, 0xc3, 0xff,
];

/// Makes an input of a seed, others, and words that mean something.
pub(crate) fn mutated(dice: &mut Dice, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = pick(dice, seeds).clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => {
                let edge = EDGES[dice.below(EDGES.len())];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = edge;
                }
            }
            2 => bytes.insert(at, EDGES[dice.below(EDGES.len())]),
            3 => {
                let end = (at + 1 + dice.below(16)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            4 => {
                let end = (at + 1 + dice.below(64)).min(bytes.len());
                let again = bytes[at.min(end)..end].repeat(1 + dice.below(30));
                bytes.splice(at..at, again);
            }
            5 if !words.is_empty() => {
                let word = pick(dice, words).to_vec();
                bytes.splice(at..at, word);
            }
            6 => {
                let other = pick(dice, seeds);
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            7 => {
                let other = pick(dice, seeds).clone();
                bytes.extend_from_slice(&other);
            }
            _ => {
                // A number, larger or smaller by a little or by much.
                let by = [1, 0xff, 0x80, 0x7f][dice.below(4)];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(by);
                }
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> &'a T {
    &from[dice.below(from.len())]
}
