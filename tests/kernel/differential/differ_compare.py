"""Comparing two runs of one script. What differs is told in lines:

    - text      the kernel did this, tipy did not          ~ text (sooner), ~ text (later)   both did, but
    tipy + text      tipy did this, the kernel did not            sooner or later after the step before

Times are compared from the last step on: a kernel's timers are late by up to an eighth (its timer wheel) and
a few ticks, and the reading process may be late as well.
"""

from difflib import SequenceMatcher

LATE, EARLY = 0.03, 0.012              # seconds the kernel may be late or early
WHEEL = 0.14                           # ... and this part of the time


def differences(kernel, tipy):
    """Lines as above for two lists of Events; [] if the runs are alike."""
    left, right = _outcomes(kernel), _outcomes(tipy)
    lines = []
    matcher = SequenceMatcher(None, [text for text, _ in left], [text for text, _ in right], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            for (text, mine), (_, theirs) in zip(left[a:b], right[c:d]):
                if theirs - mine > EARLY:
                    lines.append(f"~ {text} (later)")
                elif mine - theirs > LATE + WHEEL * theirs:
                    lines.append(f"~ {text} (sooner)")
        else:
            lines += [f"- {text}" for text, _ in left[a:b]]
            lines += [f"+ {text}" for text, _ in right[c:d]]
    return lines


def _outcomes(events):
    """[(text, seconds since the last step)]"""
    outcomes, last = [], 0.0
    for event in events:
        if event.step is not None:
            last = event.time
            outcomes.append((event.text, 0.0))
        else:
            outcomes.append((event.text, event.time - last))
    return outcomes


def story(kernel, tipy):
    """Both runs one below the other, for people."""
    def told(events):
        start = events[0].time if events else 0.0
        return [f"  {event.time - start:8.4f}  {event.text}" for event in events]
    return "\n".join(["the kernel:", *told(kernel), "tipy:", *told(tipy)])
