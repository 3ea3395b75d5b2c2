"""Clustering: invariants for any faces, and examples with known people."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facecore import agglomeration
from facecore.analyzer import Analyzer
from facecore.clustering import Detections, cluster, representative
from tests.bench.clustering import drawn
from tests.eval.footage import columns
from tests.eval.measures import score
from tests.facecore.conftest import as_frame, read

INTERVAL = 0.5
any_time = settings(deadline=None, max_examples=200)  # a busy machine fails nothing


def detections(
    embeddings: NDArray[np.float64], frames: NDArray[np.int64], left: NDArray[np.float64]
) -> Detections:
    """Faces of 100 × 120 pixels at these places, samples half a second apart."""
    n = len(frames)
    corner = np.column_stack((left, np.full(n, 50.0)))
    return Detections(
        embeddings=embeddings.astype(np.float32),
        frames=np.asarray(frames, np.int64),
        timestamps=np.asarray(frames, np.float64) * INTERVAL,
        boxes=np.hstack((corner, corner + np.array([100.0, 120.0]))).astype(np.float32),
        quality=np.linspace(0.3, 0.9, n, dtype=np.float32),
        confidence=np.full(n, 0.9, np.float32),
    )


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths


def views(who: NDArray[np.int64], cosine: float, seed: int = 0) -> NDArray[np.float64]:
    """Embeddings of length 20 of these persons; two views of one have this cosine, about."""
    generator = np.random.default_rng(seed)
    persons = unit(generator.normal(size=(who.max() + 1, 512)))
    noise = unit(generator.normal(size=(len(who), 512)))
    return 20 * unit(np.sqrt(cosine) * persons[who] + np.sqrt(1 - cosine) * noise)


def with_cosines(*rows: list[float]) -> NDArray[np.float64]:
    """Unit vectors whose cosines are the lower triangle given."""
    n = len(rows)
    gram = np.eye(n)
    for i, row in enumerate(rows):
        gram[i, : len(row)] = gram[: len(row), i] = row
    vectors = np.zeros((n, 512))
    vectors[:, :n] = np.linalg.cholesky(gram + 1e-9 * np.eye(n))
    return vectors


def people(found: Detections, threshold: float = 0.6) -> list[int]:
    return cluster(found, threshold, sampling_interval=INTERVAL).tolist()


@st.composite
def footage(draw: st.DrawFn) -> Detections:
    """Up to 40 faces of up to 5 people in up to 12 frames, of any certainty, in confused places."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 40))
    who = generator.integers(0, draw(st.integers(1, 5)), n)
    embeddings = views(who, draw(st.sampled_from([0.2, 0.4, 0.6, 0.9])), int(generator.integers(1 << 30)))
    embeddings *= generator.uniform(0.05, 0.2, (n, 1))
    return detections(
        embeddings, generator.integers(0, draw(st.integers(1, 12)), n), generator.integers(0, 5, n) * 40.0
    )


@given(footage(), st.randoms(use_true_random=False))
@any_time
def test_the_order_of_arrival_does_not_matter(found: Detections, random) -> None:  # type: ignore[no-untyped-def]
    rows = list(range(len(found)))
    random.shuffle(rows)
    assert people(found.take(np.array(rows))) == np.array(people(found))[rows].tolist()


@given(footage(), st.data())
@any_time
def test_a_face_that_is_listed_twice_changes_nothing(found: Detections, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=5))
    rows = np.array([*range(len(found)), *again])
    assert people(found.take(rows)) == np.array(people(found))[rows].tolist()


@given(footage(), st.integers(-8, 8))
@any_time
def test_the_scale_of_the_embeddings_does_not_matter(found: Detections, power: int) -> None:
    scaled = Detections(
        found.embeddings * np.float32(2.0**power), found.frames, found.timestamps, found.boxes, found.quality,
        found.confidence,
    )  # fmt: skip
    assert people(scaled) == people(found)


@given(footage(), st.floats(0, 1), st.floats(0, 1))
@any_time
def test_raising_the_threshold_never_merges(found: Detections, one: float, other: float) -> None:
    loose, strict = (people(found, threshold) for threshold in sorted((one, other)))
    assert len({*zip(loose, strict, strict=True)}) == len({*strict})


@given(footage())
@any_time
def test_people_are_numbered_by_first_appearance(found: Detections) -> None:
    labels = np.array(people(found))
    first = [
        min((found.timestamps[i], *found.boxes[i]) for i in np.flatnonzero(labels == person))
        for person in range(labels.max() + 1)
    ]
    assert first == sorted(first)


def test_no_face_and_one_face() -> None:
    nobody = detections(np.zeros((0, 512)), np.zeros(0, np.int64), np.zeros(0))
    assert people(nobody) == []
    assert people(detections(views(np.array([0]), 0.5), np.array([3]), np.array([10.0]))) == [0]


def test_ten_speakers_of_whom_three_return() -> None:
    turns = [*range(10), 2, 0, 4]
    who = np.repeat(turns, 4)
    found = detections(views(who, 0.6), np.arange(len(who)), np.zeros(len(who)))
    assert people(found) == who.tolist()


def test_five_thousand_frames_of_one_person() -> None:
    who = np.zeros(5000, np.int64)
    found = detections(views(who, 0.5), np.arange(5000), np.zeros(5000))
    assert set(people(found)) == {0}


def test_five_hundred_people_in_one_frame() -> None:
    who = np.arange(500)
    found = detections(views(who, 0.6), np.zeros(500, np.int64), np.arange(500) * 110.0)
    assert people(found) == list(range(500))


def test_thresholds_of_zero_and_one() -> None:
    """At 1 only what is the same to the bit is one person, at 0 whoever is not unlike him."""
    embeddings = np.repeat(with_cosines([], [0.9], [0.1, 0.1]), 2, axis=0)
    found = detections(embeddings, np.arange(6) * 5, np.arange(6) * 200.0)
    assert people(found, 1.0) == [0, 0, 1, 1, 2, 2]
    assert people(found, 0.6) == [0, 0, 0, 0, 1, 1]
    assert people(found, 0.0) == [0] * 6


@pytest.mark.parametrize(("cosine", "count"), [(0.28, 2), (0.31, 2), (0.35, 1), (0.45, 1)])
def test_views_are_merged_from_just_below_the_square_of_the_threshold(cosine: float, count: int) -> None:
    embeddings = with_cosines([], [cosine])
    assert len(set(people(detections(embeddings, np.array([0, 9]), np.zeros(2))))) == count


@pytest.mark.parametrize(("cosine", "count"), [(0.45, 2), (0.95, 1)])
def test_two_faces_in_one_frame_are_two_people_unless_it_is_a_mirror(cosine: float, count: int) -> None:
    """Two faces, side by side in five frames, each nearly the same in all of them."""
    who = np.tile([0, 1], 5)
    pair = with_cosines([], [cosine])
    noise = unit(np.random.default_rng(0).normal(size=(10, 512)))
    together = detections(pair[who] + 0.1 * noise, np.repeat(np.arange(5), 2), who * 300.0)
    assert len(set(people(together))) == count
    apart = detections(pair[who] + 0.1 * noise, np.arange(10) * 3, who * 300.0)
    assert len(set(people(apart))) == 1


def test_a_turning_face_is_tracked_from_sample_to_sample() -> None:
    turning = with_cosines([], [0.5], [0.1, 0.5])
    still = np.zeros(3)
    assert people(detections(turning, np.arange(3), still)) == [0, 0, 0]
    assert people(detections(turning, np.arange(3), np.arange(3) * 300.0)) == [0, 0, 1]  # another place
    assert people(detections(turning, np.arange(3) * 2, still)) == [0, 0, 1]  # not the next sample


def test_weak_faces_are_not_merged_for_being_weak() -> None:
    """Two certain faces, and two weak ones far from both that resemble each other a little."""
    embeddings = with_cosines([], [0.0], [0.1, 0.1], [0.1, 0.1, 0.45])
    frames, left = np.array([0, 10, 20, 30]), np.zeros(4)
    assert people(detections(embeddings, frames, left)) == [0, 1, 2, 2]
    weak = embeddings * np.array([[3.0], [3.0], [0.6], [0.6]])
    assert people(detections(weak, frames, left)) == [0, 1, 2, 3]


def test_similar_strangers_raise_the_threshold() -> None:
    """Six strangers in one frame have a cosine of 0.5: here two faces that have 0.38 are nobody's proof."""
    alike = [[0.5] * i for i in range(6)]
    embeddings = with_cosines(*alike, [0.3] * 6, [*[0.3] * 6, 0.38])
    found = detections(embeddings, np.array([0] * 6 + [10, 20]), np.array([*np.arange(6) * 110.0, 0, 0]))
    assert people(found) == list(range(8))
    assert people(found.take(np.array([6, 7]))) == [0, 0]


def test_more_faces_than_are_clustered_exactly() -> None:
    """Thirty people come and go in any order, so that every window meets known ones and new ones."""
    who = np.random.default_rng(0).integers(
        0, 30, agglomeration.MAX_EXACT_FACES + 2 * agglomeration.WINDOW_FACES + 7
    )
    found = detections(views(who, 0.5), np.arange(len(who)), who * 150.0)
    assert score(np.array(people(found)), who).b3_f1 == 1.0


def test_memory_grows_with_the_faces_and_not_with_their_pairs() -> None:
    frames, seat = np.divmod(np.arange(12_000), 3)
    who = frames // 100 * 3 + seat
    found = detections(views(who, 0.5), frames, seat * 200.0)
    tracemalloc.start()
    labels = people(found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert labels == who.tolist()
    pairs = len(who) ** 2 * 4  # bytes: 576 MB
    assert peak < 8 * found.embeddings.nbytes < pairs / 2


def test_an_embedding_that_is_not_finite_is_refused() -> None:
    embeddings = views(np.zeros(3, np.int64), 0.5)
    embeddings[1, 7] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        people(detections(embeddings, np.arange(3), np.zeros(3)))


def test_the_best_face_represents_and_ties_go_to_confidence_then_to_the_earlier() -> None:
    quality = np.array([0.5, 0.8, 0.8, 0.8, 0.9], np.float32)
    confidence = np.array([0.9, 0.7, 0.8, 0.8, 0.1], np.float32)
    moments = np.array([0.0, 1.0, 3.0, 2.0, 4.0])
    assert representative(np.array([0, 1, 2, 3, 4]), quality, confidence, moments) == 4
    assert representative(np.array([0, 1, 2, 3]), quality, confidence, moments) == 3


def test_four_men_in_twenty_four_faces(analyzer: Analyzer, shared_data: Path) -> None:
    """A collage: every man six times in one frame. (What is no face may be found too; it is nobody's.)"""
    picture = read(shared_data / "groups" / "dlib_bald_guys.jpg")
    found = columns(analyzer.analyze([as_frame(picture)]))
    assert sorted(np.bincount(people(found)), reverse=True)[:4] == [6, 6, 6, 6]
    assert len(found) - 24 == len(set(people(found))) - 4


def test_similar_dark_faces_in_one_frame_are_not_merged() -> None:
    """A singer in the light in many frames, and an audience of three in the dark in some of them."""
    embeddings = with_cosines([], [0.05], [0.05, 0.8], [0.05, 0.8, 0.8])
    who = np.array([0, 0, 0, 0, 0, 0, 1, 2, 3])
    frames = np.array([0, 1, 2, 3, 4, 5, 8, 8, 8])
    lengths = np.where(who == 0, 3.5, 1.4)[:, None]
    assert people(detections(embeddings[who] * lengths, frames, who * 300.0)) == [0] * 6 + [1, 2, 3]
    lit = np.full((9, 1), 3.5)
    assert len(set(people(detections(embeddings[who] * lit, frames, who * 300.0)))) == 2, "as in a mirror"


def test_more_samples_of_each_scene_join_no_strangers() -> None:
    """A hundred people, each in eight consecutive samples, make 700 merges; two strangers are as alike as before."""
    who = np.concatenate((np.repeat(np.arange(100), 8), [100, 101]))
    embeddings = np.eye(102, 512)
    embeddings[101, 100:102] = [0.4, np.sqrt(1 - 0.4**2)]
    frames = np.concatenate((np.arange(800) + np.repeat(np.arange(100), 8) * 10, [3000, 3010]))
    assert people(detections(embeddings[who], frames, who * 5.0)) == who.tolist()


def test_strangers_in_the_dark_say_what_the_dark_adds() -> None:
    """Twenty strangers in the light and twenty in the dark share a frame; two dark faces of other scenes are as alike
    as it takes in the light, but hardly more than the strangers in the dark."""
    alike = np.eye(42)
    alike[20:, 20:] += 0.5 * (1 - np.eye(22))
    alike[40, 41] = alike[41, 40] = 0.6
    embeddings = np.zeros((42, 512))
    embeddings[:, :42] = np.linalg.cholesky(alike)
    frames, left = np.array([0] * 40 + [10, 20]), np.array([*np.arange(40) * 110.0, 0, 0])
    dark = embeddings * np.where(np.arange(42) < 20, 3.5, 1.4)[:, None]
    assert people(detections(dark, frames, left))[40:] == [40, 41]
    assert people(detections(dark[[*range(20), 40, 41]], np.append(frames[:20], [10, 20]), np.zeros(22)))[
        20:
    ] == [20, 20]


def test_people_who_are_twice_in_a_frame_do_not_fall_apart() -> None:
    """Two faces of one person in a frame are no strangers whose likeness comes from weakness."""
    found = drawn(2000, 30)
    assert cluster(found, 0.6, sampling_interval=2.0).max() + 1 < 60
