"""Cars that leave or come unannounced: split again in every slot, against one who knew it all."""

import numpy as np
import pytest

from tests.surprises import share_of_the_best

EVENTS = 20


@pytest.mark.parametrize(
    ("unplugs", "late", "mean", "worst"),
    [(0.0, 0.0, 0.9999, 0.999), (0.03, 0.0, 0.986, 0.95), (0.0, 0.2, 0.999, 0.99), (0.03, 0.2, 0.99, 0.97)],
)
def test_what_surprises_cost(unplugs, late, mean, worst):
    shares = [share_of_the_best(seed, unplugs, late) for seed in range(EVENTS)]
    assert np.mean(shares) >= mean
    assert np.min(shares) >= worst
    assert np.max(shares) <= 1 + 1e-9
