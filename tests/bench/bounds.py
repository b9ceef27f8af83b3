"""What the simulated figures are judged against."""

from random import Random

SMOLTCP = {0: 322945, 0.001: 314780, 0.01: 219670, 0.02: 166588, 0.05: 76626, 0.1: 37775, 0.2: 6079,
           0.3: 1156}
"""smoltcp's goodput in bytes/s: 10 MB, RTT 100 ms, 32 KB buffers, by loss on the data direction."""

_C, _BETA = 0.4, 0.7                       # RFC 9438 section 4.1


def ideal_sack(loss, size, rtt, window, mss, seed):
    """Goodput of a sender that knows all at once: with a window of `window` bytes it sends each segment when
    the window reaches it and, as often as it is lost, again exactly one round trip later. Bytes per second.

    delivered(i) = sent(i) + rtt * losses(i) + rtt / 2;  in order(i) = max of delivered(0..i)
    sent(i) = in order(i - window) + rtt / 2
    """
    rng, count, ahead = Random(seed), -(-size // mss), window // mss
    in_order, latest = [], 0.0
    for index in range(count):
        at = in_order[index - ahead] + rtt / 2 if index >= ahead else 0.0
        while rng.random() < loss:
            at += rtt
        latest = max(latest, at + rtt / 2)
        in_order.append(latest)
    return size / (latest + rtt)


def cubic_response(loss, rtt, mss):
    """Throughput of RFC 9438, bytes per second: the larger of its two average windows, per round trip.

    cubic (section 5.1):          (C * (3 + beta) / (4 * (1 - beta)))^(1/4) * rtt^(3/4) / loss^(3/4)
    Reno-friendly (section 4.3):  sqrt(alpha * (1 + beta) / (2 * (1 - beta) * loss)),
                                  alpha = 3 * (1 - beta) / (1 + beta), that is sqrt(1.5 / loss)
    """
    cubic = (_C * (3 + _BETA) / (4 * (1 - _BETA))) ** 0.25 * rtt ** 0.75 / loss ** 0.75
    friendly = (1.5 / loss) ** 0.5
    return max(cubic, friendly) * mss / rtt


def jain(rates):
    """Jain's fairness index: 1 = all equal, 1/n = one has it all."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))
