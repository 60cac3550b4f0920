from ray.tune.search import Searcher

from tune_runs.nodes import Nodes
from tune_runs.searcher import ClusterPlacement, InOrder, JobSearcher


class Script:
    """A dispatch that hands out what it is told to, and notes what it is told."""

    def __init__(self, *jobs, alone=()):
        self.jobs, self.told, self.over, self.alone = list(jobs), [], False, frozenset(alone)

    def next(self):
        return self.jobs.pop(0)

    def reported(self, job, row):
        self.told.append((job, row["epoch"]))

    def ended(self, *how):
        self.told.append(how)


def test_jobs_are_suggested_until_the_dispatch_is_over():
    dispatch, begun = Script("a", None, "b", None), []
    searcher = JobSearcher(dispatch, lambda: begun.append(True))
    assert searcher.suggest("1") == {"job": "a"}
    assert searcher.suggest("2") is None
    assert searcher.suggest("2") == {"job": "b"}
    dispatch.over = True
    assert searcher.suggest("3") == Searcher.FINISHED
    assert begun == [True]


def test_what_trials_say_reaches_the_dispatch_under_their_jobs():
    dispatch = Script("a", "b", "c")
    searcher = JobSearcher(dispatch, lambda: None)
    for trial in "123":
        searcher.suggest(trial)
    searcher.on_trial_result("2", {"epoch": 1, "loss": 2.0})
    searcher.on_trial_result("2", {"done": True})
    searcher.on_trial_complete("2", {"done": True})
    searcher.on_trial_complete("1", {"done": True, "ended": "held", "problem": "elsewhere"})
    searcher.on_trial_complete("3", None, error=True)
    assert dispatch.told == [
        ("b", 1),
        ("b", None, None, None),
        ("a", "held", "elsewhere", None),
        ("c", None, None, None),
    ]


def test_in_a_cluster_a_trial_is_placed_by_its_configuration_and_its_node_is_told(monkeypatch):
    monkeypatch.setattr("tune_runs.searcher.node_of", {"autoreid-2": "n2"}.get)
    dispatch, nodes = Script("a", "b", "c"), Nodes({"n1": "one", "n2": "two"})
    nodes.left_out["n1"] = "sick"
    searcher = JobSearcher(dispatch, lambda: None, ClusterPlacement(nodes, named=True))
    assert searcher.suggest("1") == {"job": "a", "name": "autoreid-1", "without": ["n1"]}
    searcher.suggest("2")
    searcher.on_trial_result("1", {"node": "n1"})
    for trial in "12":
        searcher.on_trial_complete(trial, None, error=True)
    assert dispatch.told == [("a", None, None, "n1"), ("b", None, None, "n2")]
    shared = JobSearcher(dispatch, lambda: None, ClusterPlacement(nodes, named=False))
    assert shared.suggest("3") == {"job": "c", "name": "", "without": ["n1"]}


def test_of_a_job_that_runs_alone_its_configuration_says_so():
    dispatch = Script("a", "b", alone=["b"])
    searcher = JobSearcher(dispatch, lambda: None)
    assert [searcher.suggest(trial) for trial in "12"] == [{"job": "a"}, {"job": "b", "alone": True}]


def test_no_event_of_tune_looks_through_all_trials_of_the_run():
    assert InOrder().choose_trial_to_run(object()) is None
