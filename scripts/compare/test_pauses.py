"""python3 -m unittest discover -s scripts/compare -t scripts -p 'test_*.py'"""
import os
import unittest

import pauses


class Pauses(unittest.TestCase):
    def test_gaps_are_told_as_a_share_of_the_time(self):
        text = pauses.report([3_000_000, 50_000, 100_000], 2.0)
        self.assertEqual(text, "1.5 gaps a second, 100 us in the middle, 3,000 us the longest, "
                               "0.16% of the time")
        self.assertEqual(pauses.report([], 2.0), "no gap")

    def test_every_reading_is_a_gap_of_some_length_and_none_is_counted_twice(self):
        cpu = min(os.sched_getaffinity(0))
        self.addCleanup(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        lengths = pauses.gaps(cpu, 0.01, 0)
        self.assertGreater(len(lengths), 1)
        self.assertGreaterEqual(sum(lengths), 10_000_000)
        self.assertEqual(pauses.gaps(cpu, 0.01, 1e12), [])


if __name__ == "__main__":
    unittest.main()
