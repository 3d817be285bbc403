from tvseg.evaluation.scoring.members import ensemble_name, members

RUNS = ["dense A 0", "dense A 1", "dense B 0", "ours A 0", "ours B 0"]


def about(run: str) -> tuple[str, str]:
    variant, holdout, _ = run.split()
    return variant, holdout


def test_members_are_of_one_holdout() -> None:
    assert members(RUNS, [], about) == []
    seeds = [["dense A 0", "dense A 1"]]
    assert members(RUNS, ["seeds"], about) == seeds
    variants = [["dense A 0", "dense A 1", "ours A 0"], ["dense B 0", "ours B 0"]]
    assert members(RUNS, ["variants"], about) == variants
    assert members(RUNS, ["seeds", "variants"], about) == seeds + variants
    assert members(RUNS[:3], ["seeds", "variants"], about) == seeds  # one variant: no other one


def test_a_variant_counts_once_in_a_name() -> None:
    assert ensemble_name(["b", "a", "b"], "A+C") == "b+a-holdout-A+C-ensemble"
