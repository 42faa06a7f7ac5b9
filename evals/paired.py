"""Two ways to answer the same questions, compared question by question.

Of n questions, b are right in the first way alone and c in the second alone. The difference of the shares is (c - b)/n.
Only the b + c questions on which the two differ tell which is better, so the interval is far narrower than that of two
separate samples.

    interval    Wald's for paired proportions after adding 1/2 to each of the four cells (Agresti and Min 2005): unlike
                the bootstrap it does not shrink to nothing where b = c = 0
                Where one of the two is all but impossible it is a little short: with 2 % and 0 % of 200 questions it
                holds the truth 91 % of the time
    p           McNemar's exact test: two-sided, b of b + c fair coins
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

Z_95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Paired:
    """How often two ways were right on the same questions."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0
    neither: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> "Paired":
        """Counted from whether the first and the second way were right, for each question."""
        found = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for first, second in pairs:
            found[bool(first), bool(second)] += 1
        both, only_first, only_second, neither = found.values()
        return cls(both=both, only_first=only_first, only_second=only_second, neither=neither)

    def __add__(self, other: "Paired") -> "Paired":
        return Paired(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def num_questions(self) -> int:
        """n."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def share_first(self) -> float:
        """Share of the questions that the first way has right."""
        return (self.both + self.only_first) / self.num_questions

    @property
    def share_second(self) -> float:
        """Share of the questions that the second way has right."""
        return (self.both + self.only_second) / self.num_questions

    @property
    def difference(self) -> float:
        """The second share minus the first.

        >>> Paired(both=5, only_first=1, only_second=3, neither=1).difference
        0.2
        """
        return (self.only_second - self.only_first) / self.num_questions

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the difference.

        >>> [round(bound, 3) for bound in Paired(both=5, only_first=1, only_second=3, neither=1).interval]
        [-0.186, 0.52]
        """
        number, more, differing = self.num_questions + 2, self.only_second - self.only_first, self.num_differing + 1
        error = Z_95 * math.sqrt(differing - more**2 / number) / number
        return max(-1.0, more / number - error), min(1.0, more / number + error)

    @property
    def num_differing(self) -> int:
        """Questions on which the two differ: b + c."""
        return self.only_first + self.only_second

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test: how likely so lopsided a split is if neither way is better.

        >>> Paired(only_first=1, only_second=5).p_value
        0.21875
        """
        fewer = min(self.only_first, self.only_second)
        ways = sum(math.comb(self.num_differing, number) for number in range(fewer + 1))
        # Integers are divided, as powers of two beyond a thousand questions are no floats.
        return min(1.0, 2 * ways / 2**self.num_differing)


def standard_error(share: float, number: int) -> float:
    """Of a share of `number` questions, if they are a sample of all that could be asked.

    >>> standard_error(0.5, 100)
    0.05
    """
    return math.sqrt(share * (1 - share) / number)
