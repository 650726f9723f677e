"""What who knows the day bids: the offer that earns most when played by the same rules as all others.

No arithmetic of what could be done replaces the play: cars leave before they are believed to, come in the
middle of a half-hour, and the split knows of neither. So offers are tried: flat kW upon what truly runs
uncalled, from what the model bids on the true stays, up and down to the most that is delivered in full, and
the other policies' own. None of them then earns more than the best of them.
"""

from collections.abc import Callable, Iterable

from aggregator.backtest.offers import Offer, Rules
from aggregator.backtest.scene import Plays
from aggregator.backtest.story import WHOLE


def clairvoyant(plays: Plays, known: Offer, rivals: Iterable[Offer], rules: Rules) -> Offer:
    """Return the offer that earns most of those tried; of equal ones the larger.

    Args:
        plays: Of the event.
        known: What the model bids on the true stays.
        rivals: What the other policies bid.
        rules: The market's.
    """
    scene = plays.scene
    nominated_kw = scene.uncalled_kw

    def is_kept(ticks: int) -> bool:
        bid_kw = ticks * rules.tick_kw
        return bid_kw < rules.min_kw or plays(Offer(bid_kw, nominated_kw))[0].ratio >= WHOLE

    most = int(scene.event.need_kw / rules.tick_kw)
    best_kw = most_kept(round(known.bid_kw / rules.tick_kw), most, is_kept) * rules.tick_kw
    nothing = Offer(0.0, nominated_kw, why=known.why)
    whole = Offer(best_kw, nominated_kw) if best_kw >= rules.min_kw else nothing
    tried = [nothing, whole, known, *rivals]
    return max(tried, key=lambda offer: (plays(offer)[0].net_gbp, offer.bid_kw))


def most_kept(guess: int, most: int, is_kept: Callable[[int], bool]) -> int:
    """Return the largest number up to ``most`` that is kept, if all below it are; 0 always is.

    Args:
        guess: Where to look first, then in doubling steps up, or between it and 0.
        most: The largest asked for.
        is_kept: Whether a number is.
    """
    low, high = 0, most + 1
    at, step = min(max(guess, 1), most), 1
    while low < at < high:
        if is_kept(at):
            low, at, step = at, min(at + step, most), 2 * step
        else:
            high = at
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_kept(middle) else (low, middle)
    return low
