//! Places in a row of numbers that have names on both sides: constants in WGSL, an enum here. A test holds them together.

/// Declares the enum: each slot with the name of its WGSL constant. Slices, arrays and vectors can be indexed by it.
macro_rules! slots {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $slot:ident = $wgsl:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$doc])* $slot,)* }

        impl $name {
            /// All slots, in order.
            #[allow(dead_code, reason = "not every row is walked through by name")]
            $vis const ALL: [Self; Self::COUNT] = [$(Self::$slot,)*];
            /// Their number.
            $vis const COUNT: usize = [$($wgsl,)*].len();
            /// The names of the WGSL constants, in order.
            #[cfg(test)]
            $vis const WGSL: [&'static str; Self::COUNT] = [$($wgsl,)*];

            /// The position in the row.
            $vis const fn index(self) -> usize {
                self as usize
            }
        }

        slots!(@index $name [T]);
        slots!(@index $name Vec<T>);
    };
    (@index $name:ident $row:ty) => {
        impl<T> std::ops::Index<$name> for $row {
            type Output = T;

            fn index(&self, slot: $name) -> &T {
                &self[slot.index()]
            }
        }

        impl<T> std::ops::IndexMut<$name> for $row {
            fn index_mut(&mut self, slot: $name) -> &mut T {
                &mut self[slot.index()]
            }
        }
    };
}

/// Checks that the WGSL of a kernel has the constants `names`, numbered in that order, and no other that begins with
/// `prefix`.
#[cfg(test)]
pub(super) fn assert_same(kernel: &crate::plan::Kernel, prefix: &str, names: &[&str]) {
    let interface = kernel.interface();
    let found = interface.constants.iter().filter(|(name, _)| name.starts_with(prefix));
    let mut found: Vec<(u32, &str)> = found.map(|(name, &at)| (at, name.as_str())).collect();
    found.sort_unstable();
    let expected: Vec<(u32, &str)> = (0u32..).zip(names.iter().copied()).collect();
    assert_eq!(found, expected, "{}", kernel.name);
}
