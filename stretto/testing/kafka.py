"""Kafka in a container, as the official image `apache/kafka` has it."""

from __future__ import annotations

from typing import Self

from docker.errors import APIError
from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy

from stretto.embedded import ports

IMAGE = "apache/kafka:4.1.1"
OUTSIDE = 19092
"""Published: for clients on the machine of the tests."""
INSIDE = 9092
"""For clients in other containers of the same network."""
START_S = 120
_SCRIPT = "/tmp/start-kafka"  # noqa: S108 - inside the container
_ASK = (
    f"exec 3<>/dev/tcp/localhost/{INSIDE}"
    r" && printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3"
    " && timeout 5 head -c 4 <&3 | od -An -tx1 | grep -q ."
)
"""An ApiVersions request, version 0, and the beginning of its answer: a broker answers once it is ready
(https://kafka.apache.org/protocol#The_Messages_ApiVersions). Kafka's own tools take a second and a core for the same."""
_TRIES = 5


class KafkaContainer(DockerContainer):
    """One broker that is its own controller (KRaft), ready when `start` returns; a context manager like every container.

    A broker tells its clients where to find it, so it must know its published port before it starts. That port is chosen
    here and stays the same when the container is stopped and started again. Settings of the broker are environment
    variables, as the image has them: `with_env("KAFKA_MESSAGE_MAX_BYTES", "1048576")`. `start` raises TimeoutError, with the
    container's log as a note, when the broker does not answer within `START_S`, or a strategy given by `waiting_for` fails.
    """

    def __init__(self, image: str = IMAGE) -> None:
        super().__init__(image)
        self._chosen = 0
        self._alias = "localhost"
        self.with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_INTER_BROKER_LISTENER_NAME="INSIDE",
            KAFKA_LISTENERS=f"INSIDE://:{INSIDE},CONTROLLER://localhost:9093,OUTSIDE://:{OUTSIDE}",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTSIDE:PLAINTEXT",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            KAFKA_HEAP_OPTS="-Xmx512m -Xms256m",
        )
        # The address is known only once the container is there, so the broker waits for it.
        self.with_command(["bash", "-c", f"until [ -f {_SCRIPT} ]; do sleep 0.05; done; . {_SCRIPT}"])

    def with_network_aliases(self, *aliases: str) -> Self:
        """Names in the network; the first is the one that the broker gives to clients there."""
        self._alias = aliases[0]
        return super().with_network_aliases(*aliases)

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients on the machine of the tests."""
        return f"{self.get_container_host_ip()}:{self._port()}"

    def start(self) -> Self:
        """Start the broker; return once it answers."""
        wait, self._wait_strategy = self._wait_strategy, None  # only now could it be waited for in vain
        try:
            self._start_on_a_free_port()
        finally:
            self._wait_strategy = wait
        advertised = f"INSIDE://{self._alias}:{INSIDE},OUTSIDE://{self.bootstrap}"
        script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n"
        self.copy_into_container(script.encode(), _SCRIPT)
        try:
            (wait or self._answers()).wait_until_ready(self)
        except TimeoutError as error:
            error.add_note("".join(part.decode(errors="replace") for part in self.get_logs()))
            raise
        return self

    def _start_on_a_free_port(self) -> None:
        for left in reversed(range(_TRIES)):
            self._chosen = ports.choose()
            self.with_bind_ports(OUTSIDE, self._chosen)
            try:
                super().start()
                return
            except APIError as error:
                said = str(error.explanation)
                if not left or ("already allocated" not in said and "already in use" not in said):
                    raise
                self.get_wrapped_container().remove(force=True, v=True)

    def _port(self) -> int:
        """Where the container is reached by its own address, nothing is published."""
        by_own_address = self.get_docker_client().get_connection_mode() is ConnectionMode.bridge_ip
        return OUTSIDE if by_own_address else self._chosen

    @staticmethod
    def _answers() -> ExecWaitStrategy:
        return ExecWaitStrategy(["bash", "-c", _ASK]).with_startup_timeout(START_S)
