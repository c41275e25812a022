"""Every row, in order of the seed, padded no further than its bucket."""

from collections import Counter

import numpy as np
import pytest

from ntjax.datasets.batching import (
    MAXIMUM_BUCKETS,
    TokenisedSet,
    TrainingBatches,
    choose_buckets,
    evaluation_batches,
)

PAD = 1


def random_set(random, rows, longest):
    """Rows of random lengths; a row's tokens and label follow from its number."""
    lengths = random.integers(1, longest + 1, rows)
    ids = 2 + (np.arange(rows)[:, None] * 31 + np.arange(longest)) % 4000
    ids[np.arange(longest) >= lengths[:, None]] = PAD
    return TokenisedSet.create(ids, np.arange(rows) % 3)


def random_cases(count=40):
    random = np.random.default_rng(0)
    for _ in range(count):
        rows, longest = int(random.integers(1, 150)), int(random.integers(1, 60))
        yield random_set(random, rows, longest), int(random.integers(1, 40))


def check_content(data, batch):
    """Each slot holds its row, its label, and padding only beyond the row's own length."""
    width = batch.tokens.shape[1]
    for row, tokens, label in zip(batch.rows, batch.tokens, batch.labels, strict=True):
        length = data.lengths[row]
        assert length <= width
        np.testing.assert_array_equal(tokens[:length], 2 + (row * 31 + np.arange(length)) % 4000)
        assert (tokens[length:] == PAD).all()
        assert label == row % 3


def smallest_bucket(buckets, longest):
    return min(bucket for bucket in buckets if bucket >= longest)


class TestTokenisedSet:
    def test_lengths_and_types(self):
        data = TokenisedSet.create(np.array([[3, 9, 4106], [3, 7, PAD]]), [0, 1])
        assert data.lengths.tolist() == [3, 2]
        assert (data.tokens.dtype, data.labels.dtype) == (np.int16, np.int32)
        assert data.tokens[0, 2] == 4106
        assert len(data) == 2


class TestBuckets:
    def test_few_lengths_are_the_buckets(self):
        assert choose_buckets(np.array([17, 17, 5, 9])).tolist() == [5, 9, 17]

    def test_many_lengths_make_eight_equal_shares(self):
        buckets = choose_buckets(np.arange(1, 801))
        assert buckets.tolist() == [101, 201, 301, 401, 501, 601, 701, 800]

    def test_the_longest_always_fits(self):
        random = np.random.default_rng(1)
        for _ in range(50):
            lengths = random.integers(1, 500, random.integers(1, 300))
            buckets = choose_buckets(lengths)
            assert len(buckets) <= MAXIMUM_BUCKETS
            assert buckets[-1] == lengths.max()
            assert (np.diff(buckets) > 0).all()
            assert set(buckets) <= set(lengths)


class TestTrainingBatches:
    def test_every_row_once_an_epoch(self):
        for data, batch_size in random_cases():
            batches = TrainingBatches(data, batch_size, seed=3)
            for epoch in range(3):
                first = epoch * batches.batches_per_epoch
                steps = range(first, first + batches.batches_per_epoch)
                seen = np.concatenate([batches.batch(step).real_rows for step in steps])
                assert sorted(seen) == list(range(len(data)))

    def test_slots_and_padding(self):
        for data, batch_size in random_cases():
            batches = TrainingBatches(data, batch_size, seed=3)
            buckets, widths = choose_buckets(data.lengths), set()
            for step in range(batches.batches_per_epoch):
                batch = batches.batch(step)
                assert len(batch.rows) == batch_size
                check_content(data, batch)
                longest = data.lengths[batch.real_rows].max()
                assert batch.tokens.shape[1] == smallest_bucket(buckets, longest)
                widths.add(batch.tokens.shape[1])
            assert len(widths) <= MAXIMUM_BUCKETS

    def test_only_left_over_rows_leave_their_bucket(self):
        """All but the rows that do not fill a batch of their own bucket are padded to it."""
        for data, batch_size in random_cases():
            batches, buckets = TrainingBatches(data, batch_size, 3), choose_buckets(data.lengths)
            own = [smallest_bucket(buckets, length) for length in data.lengths]
            beyond = Counter()
            for step in range(batches.batches_per_epoch):
                batch = batches.batch(step)
                beyond.update(own[r] for r in batch.real_rows if own[r] < batch.tokens.shape[1])
            assert all(count < batch_size for count in beyond.values())

    def test_filler_weighs_nothing(self):
        for data, batch_size in random_cases():
            batches = TrainingBatches(data, batch_size, seed=3)
            for step in range(batches.batches_per_epoch):
                batch = batches.batch(step)
                assert set(batch.weights) <= {0.0, 1.0}
                assert batch.weights.dtype == np.float32
                # Real rows come first and differ; what follows repeats the first of them.
                real = int(batch.weights.sum())
                assert (np.diff(batch.weights) <= 0).all()
                assert len(set(batch.rows[:real])) == real
                assert (batch.rows[real:] == batch.rows[0]).all()

    def test_few_batches_are_not_full(self):
        for data, batch_size in random_cases():
            assert TrainingBatches(data, batch_size, 0).batches_per_epoch <= (
                -(-len(data) // batch_size) + MAXIMUM_BUCKETS
            )

    def test_equal_lengths_are_not_padded(self):
        data = TokenisedSet.create(np.full((50, 17), 9), np.zeros(50))
        batches = TrainingBatches(data, 8, seed=0)
        assert batches.batches_per_epoch == 7
        for step in range(14):
            batch = batches.batch(step)
            assert batch.tokens.shape == (8, 17)
            assert (batch.tokens == 9).all()

    @pytest.mark.parametrize(
        ("rows", "sizes"),
        [
            (64, [32, 32]),
            (65, [16, 17, 32]),
            (71, [19, 20, 32]),
            (72, [8, 32, 32]),  # a quarter of a batch is enough
            (95, [31, 32, 32]),
            (33, [16, 17]),
            (5, [5]),
        ],
    )
    def test_a_few_left_over_rows_share_with_a_full_batch(self, rows, sizes):
        data = TokenisedSet.create(np.full((rows, 17), 9), np.zeros(rows))
        batches = TrainingBatches(data, 32, seed=0)
        for epoch in range(2):
            steps = range(epoch * len(sizes), (epoch + 1) * len(sizes))
            drawn = [batches.batch(step).real_rows for step in steps]
            assert sorted(map(len, drawn)) == sizes
            assert sorted(np.concatenate(drawn)) == list(range(rows))

    def test_no_batch_is_nearly_empty(self):
        for data, batch_size in random_cases():
            batches = TrainingBatches(data, batch_size, seed=3)
            fewest = min(len(batches.batch(s).real_rows) for s in range(batches.batches_per_epoch))
            assert 4 * fewest >= min(batch_size, len(data))

    def test_a_batch_larger_than_the_set(self):
        data = random_set(np.random.default_rng(0), rows=5, longest=9)
        batches = TrainingBatches(data, 64, seed=0)
        assert batches.batches_per_epoch == 1
        for step in range(3):
            batch = batches.batch(step)
            assert batch.tokens.shape[0] == 64
            assert sorted(batch.real_rows) == [0, 1, 2, 3, 4]
            assert batch.weights.sum() == 5

    def test_the_seed_decides(self):
        data = random_set(np.random.default_rng(0), rows=100, longest=20)

        def order(seed):
            batches = TrainingBatches(data, 7, seed)
            return [tuple(batches.batch(step).rows) for step in range(40)]

        assert order(1) == order(1)
        assert order(1) != order(2)

    def test_epochs_differ(self):
        data = TokenisedSet.create(np.full((64, 5), 9), np.zeros(64))
        batches = TrainingBatches(data, 64, seed=0)
        assert batches.batch(0).rows.tolist() != batches.batch(1).rows.tolist()

    @pytest.mark.parametrize("step", [0, 3, 29, 30, 61, 200])
    def test_history_does_not_matter(self, step):
        data = random_set(np.random.default_rng(0), rows=100, longest=20)
        fresh = TrainingBatches(data, 7, seed=5).batch(step)
        used = TrainingBatches(data, 7, seed=5)
        for earlier in [*range(0, 300, 11), 250, 2, 90]:
            used.batch(earlier)
        for name in ("rows", "tokens", "labels", "weights"):
            np.testing.assert_array_equal(getattr(used.batch(step), name), getattr(fresh, name))


class TestEvaluationBatches:
    def test_every_row_once(self):
        random = np.random.default_rng(2)
        for data, _ in random_cases():
            multiple, tokens = int(random.integers(1, 9)), int(random.integers(1, 400))
            batches = list(evaluation_batches(data, tokens, multiple))
            seen = np.concatenate([batch.real_rows for batch in batches])
            assert sorted(seen) == list(range(len(data)))
            assert len({batch.tokens.shape for batch in batches}) <= MAXIMUM_BUCKETS
            for batch in batches:
                check_content(data, batch)
                assert len(batch.rows) % multiple == 0

    def test_no_row_leaves_its_bucket(self):
        for data, _ in random_cases():
            buckets = choose_buckets(data.lengths)
            for batch in evaluation_batches(data, 200, 2):
                own = {smallest_bucket(buckets, n) for n in data.lengths[batch.real_rows]}
                assert own == {batch.tokens.shape[1]}

    def test_batches_are_of_about_the_tokens_asked_for(self):
        for data, _ in random_cases():
            for batch in evaluation_batches(data, 200, 4):
                width = batch.tokens.shape[1]
                assert batch.tokens.size <= max(200, width) + 3 * width
