"""The formulas of CUBIC (RFC 9438) and HyStart++ (RFC 9406), on a flow that is nothing but its numbers."""

from types import SimpleNamespace

import pytest

from tipy.tcp.congestion import INFINITE, find

C, BETA = 0.4, 0.7             # RFC 9438 section 5
ALPHA = 3 * (1 - BETA) / (1 + BETA)


class Flow:
    """What a congestion control sees of a connection. Windows in segments, sequence numbers too."""

    def __init__(self, cwnd, rtt, ssthresh=INFINITE):
        self.cwnd, self.ssthresh, self.mss = cwnd, ssthresh, 1000
        self.rtt = SimpleNamespace(srtt=rtt, min_rtt=rtt)
        self.time = 100.0
        self.snd_una = self.snd_nxt = self.in_flight = 0

    def now(self):
        return self.time


def cubic(cwnd=10, rtt=0.1, ssthresh=INFINITE):
    flow = Flow(cwnd, rtt, ssthresh)
    return flow, find("cubic")(flow)


def reduced(cwnd, rtt=0.1):
    """A flow that has just lost a segment at `cwnd`, and has recovered."""
    flow, control = cubic(cwnd, rtt, ssthresh=2)
    lose(flow, control)
    return flow, control


def lose(flow, control):
    flow.cwnd = flow.ssthresh = control.on_loss()


def round_trip(flow, control):
    """Every segment of the window is acknowledged, evenly over one round trip."""
    window = flow.cwnd
    for _ in range(window):
        flow.time += flow.rtt.srtt / window
        control.on_ack(1)


def run(flow, control, seconds):
    """[(seconds since now, cwnd)] after each round trip."""
    start, course = flow.time, []
    while flow.time - start < seconds:
        round_trip(flow, control)
        course.append((flow.time - start, flow.cwnd))
    return course


# -- CUBIC ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cwnd, expected", [(100, 70), (10, 7), (11, 7), (3, 2), (2, 2), (1, 2)])
def test_loss_leaves_seven_tenths_and_at_least_two(cwnd, expected):
    """RFC 9438 4.6: ssthresh = max(cwnd * beta, 2)."""
    assert cubic(cwnd)[1].on_loss() == expected


@pytest.mark.parametrize("w_max, rtt", [(200, 0.1), (1000, 0.1), (1000, 0.05), (400, 0.2)])
def test_window_follows_the_cubic_function_of_time(w_max, rtt):
    """RFC 9438 4.2: W_cubic(t) = C (t - K)^3 + W_max with K = cbrt((W_max - cwnd) / C). The target of a round trip is
    its value at the end of it, so the window is there in time, to the segment."""
    flow, control = reduced(w_max, rtt)
    k = ((w_max - flow.cwnd) / C) ** (1 / 3)
    for t, cwnd in run(flow, control, 1.5 * k):
        assert cwnd == pytest.approx(C * (t - k) ** 3 + w_max, abs=1.5), t


def test_window_is_concave_before_the_plateau_and_convex_after_it():
    """RFC 9438 4.4, 4.5."""
    flow, control = reduced(1000)
    k = (300 / C) ** (1 / 3)
    course = run(flow, control, 2 * k)
    early, near, late = (next(b[1] - a[1] for a, b in zip(course, course[10:]) if a[0] > at)
                         for at in (0.1 * k, 0.95 * k, 1.7 * k))
    assert early > 5 * max(near, 1) and late > 5 * max(near, 1)


def test_time_not_round_trips_makes_the_window():
    """RFC 9438 3.1: flows of different RTT have the same window after the same time."""
    windows = [run(*reduced(2000, rtt), 5)[-1][1] for rtt in (0.02, 0.1)]
    assert windows[0] == pytest.approx(windows[1], rel=0.02)


def test_growth_is_limited_to_half_a_window_per_round_trip():
    """RFC 9438 4.2: target is at most 1.5 cwnd, however long ago the loss was."""
    flow, control = reduced(100)
    round_trip(flow, control)
    flow.time += 1000
    before = flow.cwnd
    round_trip(flow, control)
    assert 1.4 * before <= flow.cwnd <= 1.67 * before      # compounded: (1 + 0.5 / cwnd) ** cwnd


@pytest.mark.parametrize("w_max", [20, 50])
def test_short_path_follows_reno(w_max):
    """RFC 9438 4.3: where W_est is larger than W_cubic the window is W_est, which grows by alpha = 9/17 per round
    trip."""
    flow, control = reduced(w_max, rtt=0.01)
    start, rounds = flow.cwnd, 10
    for _ in range(rounds):
        round_trip(flow, control)
    assert flow.cwnd == pytest.approx(start + ALPHA * rounds, abs=1.5)
    assert flow.cwnd > start + 3                       # W_cubic alone would not have moved so far in 0.1 s


def test_reno_friendly_growth_is_one_per_round_trip_beyond_the_former_window():
    """RFC 9438 4.3: alpha = 1 once W_est has reached cwnd_prior."""
    flow, control = reduced(20, rtt=0.001)
    while flow.cwnd < 22:
        round_trip(flow, control)
    start = flow.cwnd
    for _ in range(20):
        round_trip(flow, control)
    assert flow.cwnd == pytest.approx(start + 20, abs=1.5)


def test_second_loss_below_the_former_window_makes_room():
    """RFC 9438 4.7, fast convergence: W_max = cwnd (1 + beta) / 2; the plateau is there, not where the loss was."""
    flow, control = reduced(1000)
    flow.cwnd = 800
    lose(flow, control)
    plateau = 800 * (1 + BETA) / 2
    assert flow.cwnd == 560
    k = ((plateau - 560) / C) ** (1 / 3)
    course = run(flow, control, k)
    assert course[-1][1] == pytest.approx(plateau, abs=3)
    round_trip(flow, control)
    assert flow.cwnd - course[-1][1] <= 1              # flat here


def test_second_loss_above_the_former_window_remembers_where_it_was():
    """RFC 9438 4.7: no fast convergence."""
    flow, control = reduced(500)
    flow.cwnd = 1000
    lose(flow, control)
    k = (300 / C) ** (1 / 3)
    assert run(flow, control, k)[-1][1] == pytest.approx(1000, abs=3)


def test_mistaken_reduction_is_forgotten_by_undo():
    """RFC 9438 4.9: the state before the reduction comes back, so does the course of the window."""
    courses = []
    for mistaken in (False, True):
        flow, control = reduced(1000)
        run(flow, control, 2)
        before = flow.cwnd, flow.ssthresh
        if mistaken:
            control.on_loss()
            control.on_undo()
            flow.cwnd, flow.ssthresh = before
        courses.append(run(flow, control, 5))
    assert courses[0] == courses[1]


# -- HyStart++ ------------------------------------------------------------------------------------


def slow_start_round(flow, control, rtt, acks=16):
    """One round of slow start: RTT samples, then ACKs, of which the last one ends the round."""
    before = flow.cwnd
    end = flow.snd_nxt
    flow.snd_nxt += acks
    for number in range(1, acks + 1):
        flow.snd_una = end - acks + number if number < acks else end + 1
        control.on_rtt(rtt)
        control.on_ack(1)
    return flow.cwnd - before


def starting(base=0.1):
    """A flow in slow start that has seen one round at `base`."""
    flow, control = cubic(10, base)
    flow.snd_nxt = 16
    control = find("cubic")(flow)
    for _ in range(2):
        assert slow_start_round(flow, control, base) == 16
    return flow, control


@pytest.mark.parametrize("base, rise", [(0.016, 0.004), (0.02, 0.004), (0.064, 0.008), (0.128, 0.016), (0.4, 0.016)])
def test_rtt_rise_by_an_eighth_within_bounds_slows_slow_start_down(base, rise):
    """RFC 9406 4.2: RttThresh = max(4 ms, min(lastRoundMinRTT / 8, 16 ms)); CSS grows by a quarter."""
    flow, control = starting(base)
    assert slow_start_round(flow, control, base + rise - 1e-5) == 16
    flow, control = starting(base)
    slow_start_round(flow, control, base + rise + 1e-5)
    assert flow.ssthresh == INFINITE
    assert slow_start_round(flow, control, base + rise + 1e-5) == 4


def test_fewer_than_eight_samples_say_nothing():
    """RFC 9406 4.2: N_RTT_SAMPLE."""
    flow, control = starting()
    assert slow_start_round(flow, control, 0.2, acks=7) == 7
    flow, control = starting()
    assert slow_start_round(flow, control, 0.2, acks=8) < 8


def test_rtt_that_falls_back_resumes_slow_start():
    """RFC 9406 4.2: currentRoundMinRTT < cssBaselineMinRtt."""
    flow, control = starting()
    slow_start_round(flow, control, 0.12)
    assert slow_start_round(flow, control, 0.12) == 4
    slow_start_round(flow, control, 0.11)
    assert slow_start_round(flow, control, 0.11) == 16 and flow.ssthresh == INFINITE


def test_five_rounds_of_conservative_slow_start_end_it():
    """RFC 9406 4.2: CSS_ROUNDS = 5, the partial first one counts; then ssthresh = cwnd."""
    flow, control = starting()
    rounds = 0
    while flow.ssthresh == INFINITE and rounds < 20:
        slow_start_round(flow, control, 0.12)
        rounds += 1
    assert rounds == 5 and flow.ssthresh <= flow.cwnd <= flow.ssthresh + 1


def test_no_queue_no_end_of_slow_start():
    """A steady RTT, and one that falls: slow start goes on."""
    flow, control = starting()
    for number in range(30):
        assert slow_start_round(flow, control, 0.1 - 0.001 * number) == 16
    assert flow.ssthresh == INFINITE


def test_timeout_makes_the_window_at_the_end_of_slow_start_the_plateau():
    """RFC 9438 section 4.8."""
    flow, control = cubic(1000, ssthresh=2)
    flow.ssthresh = control.on_loss()
    control.on_rto()
    flow.cwnd = flow.ssthresh
    for t, cwnd in run(flow, control, 5):
        assert cwnd <= max(C * (t + 0.1) ** 3 + 700, 700 + ALPHA * t / 0.1) + 2, t


def test_reno_friendly_growth_stays_slow_up_to_cwnd_prior_also_after_fast_convergence():
    """RFC 9438 section 4.3."""
    flow, control = reduced(100, rtt=0.001)
    flow.cwnd = 60
    lose(flow, control)                                # cwnd 42, W_max 51, cwnd_prior 60
    while flow.cwnd < 52:
        round_trip(flow, control)
    start = flow.cwnd
    for _ in range(10):
        round_trip(flow, control)
    assert flow.cwnd == pytest.approx(start + 10 * ALPHA, abs=1.5)
