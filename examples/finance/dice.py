"""Numbers that look random and are the same on every machine and in every Python.

SplitMix64 over a seed made from a label: integers only, no floating point, nothing of the module
`random`, whose helpers have changed between versions. Each part of the example rolls dice of its
own label, so that a longer list of expenses does not change a single conversation.
"""

import hashlib

_MASK = (1 << 64) - 1


class Dice:
    def __init__(self, label):
        seed = hashlib.blake2b(("finance/" + label).encode(), digest_size=8).digest()
        self._state = int.from_bytes(seed, "big")

    def _next(self):
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, n):
        """0 <= result < n."""
        return (self._next() * n) >> 64

    def between(self, low, high):
        """low <= result <= high."""
        return low + self.below(high - low + 1)

    def one_in(self, n):
        return self.below(n) == 0

    def pick(self, items):
        return items[self.below(len(items))]

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items

    def bell(self, spread):
        """Roughly normal around 0 with standard deviation `spread`: the sum of 12 uniform rolls."""
        total = sum(self.between(-1000, 1000) for _ in range(12))
        return total * spread // 2000
