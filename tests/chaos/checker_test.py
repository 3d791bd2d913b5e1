"""The checker finds every violation that is planted in a good history, and none in the good one."""

import copy
import random
import unittest

import checker


def op(kind, key, value, start, end, ok=True, **more):
    return {"kind": kind, "key": key, "value": value, "start": float(start), "end": float(end), "ok": ok, **more}


GOOD = [
    op("append", "a", 1, 0, 1), op("append", "a", 2, 2, 3), op("list", "a", [1, 2], 4, 5), op("append", "a", 3, 4, 9, ok=None),
    op("list", "a", [1, 2, 3], 6, 7), op("append", "a", 4, 10, 11), op("append", "a", 5, 10, 11, ok=None),
    op("write", "r", 1, 0, 1), op("read", "r", 1, 2, 3), op("write", "r", 2, 4, 8), op("read", "r", 2, 5, 6), op("read", "r", 2, 9, 10),
    op("write", "r", 3, 11, 12, ok=None), op("read", "r", 2, 13, 14), op("read", "r", 3, 15, 16), op("read", "empty", None, 1, 2),
    op("probe", "", 1, 0, 1, node="n1", term=1, timeline=1), op("probe", "", 2, 2, 3, node="n2", term=2, timeline=2),
    op("probe", "", 3, 2, 3, ok=None, node="n1", term=1, timeline=1),
]
FINAL = {"a": [1, 2, 3, 4]}


class Checker(unittest.TestCase):
    def judge(self, *extra, final=FINAL, probes=(1, 2), change=lambda h: None):
        history = copy.deepcopy(GOOD) + list(extra)
        change(history)
        return "\n".join(checker.check(history, final, probes))

    def test_good_history_is_good(self):
        self.assertEqual(self.judge(), "")

    def test_lost_append(self):
        self.assertIn("of 4 at 11.000 is lost", self.judge(final={"a": [1, 2, 3]}))

    def test_whole_list_lost(self):
        self.assertIn("is lost", self.judge(final={}))

    def test_twice(self):
        self.assertIn("twice", self.judge(final={"a": [1, 2, 3, 4, 4]}))

    def test_from_nowhere(self):
        self.assertIn("nobody appended", self.judge(final={"a": [1, 2, 3, 4, 77]}))

    def test_order_against_time(self):
        self.assertIn("before one that stands before", self.judge(final={"a": [2, 1, 3, 4]}))

    def test_fork_seen_by_a_reader(self):
        self.assertIn("no prefix", self.judge(op("list", "a", [1, 2, 5], 20, 21)))

    def test_stale_list(self):
        self.assertIn("stale read", self.judge(op("list", "a", [1], 4, 5)))

    def test_list_goes_back_on_an_unacknowledged_append(self):
        self.assertIn("stale read", self.judge(op("list", "a", [1, 2], 8, 9)))

    def test_stale_reads_in_the_bounded_time_are_let_pass(self):
        self.assertEqual(self.judge(op("list", "a", [1], 4, 5, may_be_stale=True), op("read", "r", 1, 9, 10, may_be_stale=True)), "")

    def test_a_fork_is_seen_in_the_bounded_time_too(self):
        self.assertIn("no prefix", self.judge(op("list", "a", [1, 2, 5], 20, 21, may_be_stale=True)))
        self.assertIn("nobody wrote", self.judge(op("read", "r", 99, 9, 10, may_be_stale=True)))

    def test_stale_register(self):
        self.assertIn("stale read", self.judge(op("read", "r", 1, 9, 10)))

    def test_register_goes_back(self):
        self.assertIn("stale read", self.judge(op("read", "r", 2, 17, 18)))

    def test_acknowledged_write_to_register_lost(self):
        self.assertIn("stale read", self.judge(op("write", "r", 9, 17, 18), op("read", "r", 3, 19, 20)))

    def test_register_empty_again(self):
        self.assertIn("stale read", self.judge(op("read", "r", None, 9, 10)))

    def test_register_from_nowhere(self):
        self.assertIn("nobody wrote", self.judge(op("read", "r", 99, 9, 10)))

    def test_future(self):
        self.assertIn("before it was written", self.judge(op("write", "r", 8, 30, 31), op("read", "r", 8, 20, 21)))

    def test_two_writers_in_a_term(self):
        self.assertIn("two writers in term 2", self.judge(op("probe", "", 4, 4, 5, node="n3", term=2, timeline=3), probes=(1, 2, 4)))

    def test_two_writers_on_a_timeline(self):
        self.assertIn("two writers in timeline 2", self.judge(op("probe", "", 4, 4, 5, node="n3", term=3, timeline=2), probes=(1, 2, 4)))

    def test_old_primary_goes_on(self):
        self.assertIn("after n2", self.judge(op("probe", "", 4, 4, 5, node="n1", term=1, timeline=1), probes=(1, 2, 4)))

    def test_forked_timeline(self):
        self.assertIn("was forked", self.judge(probes=(1,)))

    def test_interrupted_wait(self):
        self.assertIn("cancelled synchronous wait", self.judge(op("append", "a", 6, 4, 5, interrupted=True), final={"a": [1, 2, 3, 4, 6]}))

    def test_random_histories(self):
        """A real list and register, worked on one after the other, are good; with any acknowledged append taken away they are not."""
        for seed in range(200):
            rng, time, values, register, history = random.Random(seed), 0.0, [], None, []
            for n in range(30):
                kind = rng.choice(("append", "list", "write", "read"))
                if kind == "append":
                    values = values + [n]
                elif kind == "write":
                    register = n
                value = {"append": n, "write": n, "list": values, "read": register}[kind]
                history.append(op(kind, "k", value, time, time + rng.uniform(0.1, 0.9)))
                time += 1
            self.assertEqual(checker.check(history, {"k": values}), [], f"seed {seed}")
            if values:
                gone = rng.choice(values)
                self.assertTrue(checker.check(history, {"k": [v for v in values if v != gone]}), f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
