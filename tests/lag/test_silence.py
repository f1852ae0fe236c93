"""What nobody says is found out."""

from __future__ import annotations

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_consumers.lag.look import Observer
from tests.fix_pipeline import Pipeline
from tests.fix_proxy import proxy_to


def test_a_broker_that_is_lost_between_looks_is_a_problem_until_it_answers(
    beaten: Pipeline, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        through = beaten.settings.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{proxy.port}"})
        with Observer(beaten.settings.model_copy(update={"kafka": through})) as observer:
            assert wait_until(lambda: not observer.look().problems, 30.0)
            proxy.cut()
            assert wait_until(lambda: bool(observer.look().problems), 30.0)
            [problem] = observer.look().problems
            assert "does not answer" in problem.found
            assert problem.fix
            proxy.mend()
            assert wait_until(lambda: not observer.look().problems, 60.0)


def test_a_follower_that_has_shown_nothing_yet_is_not_silent_since_1970(beaten: Pipeline) -> None:
    with Observer(beaten.settings) as observer:
        seen = observer.look()
    assert [state.follower for state in seen.followers] == ["follower"]
    assert seen.heard_s.get("follower", 0.0) < 3600
