"""Gossipsub's meshes as assay runs them: the library's router, every number stated."""

from __future__ import annotations

import logging
from typing import Any, Final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.score import ScoreParams, TopicScoreParams

log = logging.getLogger("assay.net")

#: Below this, telling a peer that a message is not needed costs as much as the message.
_IDONTWANT_BYTES: Final = 1024
#: Followers that get our own messages directly, mesh or not.
_MAX_FLOOD: Final = 32


def router() -> Router:
    """Gossipsub as assay runs it; every number that matters is stated."""
    return Router(
        protocols=[PROTOCOL_ID_V12, PROTOCOL_ID_V11],
        # Below the usual six: our own messages go to every follower anyway, and a core verifies
        # and forwards a few hundred messages a second, duplicates included.
        degree=4,
        degree_low=3,
        degree_high=8,
        heartbeat_interval=1,
        heartbeat_initial_delay=0.1,
        gossip_window=3,
        gossip_history=6,
        time_to_live=60,
        do_px=False,
        # Short, because swarms are small: a node that restarts is grafted again within seconds.
        prune_back_off=3,
        unsubscribe_back_off=3,
        score_params=ScoreParams(
            p2_first_message_deliveries=TopicScoreParams(weight=0.5, cap=20.0, decay=0.98),
            # The weight is subtracted: it must be positive to be a penalty.
            p4_invalid_messages=TopicScoreParams(weight=5.0, cap=100.0, decay=0.98),
            p5_behavior_penalty_weight=1.0,
            p5_behavior_penalty_decay=0.98,
            publish_threshold=-50.0,
            gossip_threshold=-20.0,
            graylist_threshold=-80.0,
            accept_px_threshold=1e9,
        ),
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        max_idontwant_messages=256,
        max_pending_messages_per_peer=16,
        pending_messages_ttl=5.0,
    )


class Router(GossipSub):
    """The library's router, with bounded memory and a heart that cannot stop."""

    last_beat: float = float("-inf")

    def attach(self, pubsub: Pubsub) -> None:
        self.last_beat = trio.current_time()
        super().attach(pubsub)

    async def heartbeat(self) -> None:
        while True:
            try:
                await super().heartbeat()
            except Exception:
                log.exception("gossip heartbeat failed; it goes on")
                await trio.sleep(self.heartbeat_interval)

    def _periodic_security_cleanup(self) -> None:
        # Called once a beat. The list of delivery times is read by adaptive gossip only, which is
        # off, and would otherwise grow by one entry a message for ever.
        self.last_beat = trio.current_time()
        self.recent_message_deliveries.clear()
        super()._periodic_security_cleanup()

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:
        # Keeps a thousand whole messages to compare; the seen set already passes the first alone,
        # and two contents under one id are the author's signed contradiction, judged above.
        return True

    def _get_peers_to_send(
        self, topic_ids: Any, msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Any:
        """Send our own messages to every follower of the topic, others' along the mesh.

        Flood publishing (gossipsub v1.1): a message then depends on no mesh, which may not have
        formed yet, or from which somebody may have crowded us out.
        """
        chosen = set(super()._get_peers_to_send(topic_ids, msg_forwarder, origin, msg_id))
        if self.pubsub is not None and origin == self.pubsub.my_id:
            for topic in topic_ids:
                followers = sorted(self.pubsub.peer_topics.get(topic, ()), key=str)
                chosen.update(followers[:_MAX_FLOOD])
        return chosen

    async def _emit_idontwant_for_message(self, msg_id: bytes, topic_ids: Any) -> None:
        message = self.mcache.get(msg_id)
        if message is not None and len(message.data) >= _IDONTWANT_BYTES:
            await super()._emit_idontwant_for_message(msg_id, topic_ids)
