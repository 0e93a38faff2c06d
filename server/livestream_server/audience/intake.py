"""NotificationService: takes in what Agora tells, and answers before anything comes of it."""

from collections.abc import Callable
from datetime import datetime

import structlog
from pydantic import SecretStr

from livestream.v1.notification_service_pb2 import ReceiveNotificationRequest, ReceiveNotificationResponse
from livestream.v1.notification_service_pb2_grpc import NotificationServiceServicer
from livestream_server.audience.inbox import Inbox
from livestream_server.audience.notices import (
    MAX_BODY_BYTES,
    NotificationsOff,
    notice_of,
    require_fresh,
    require_signature,
)
from livestream_server.errors import Invalid, Violation
from livestream_server.transport.pipeline import Context

_log = structlog.get_logger("livestream.notifications")


class NotificationRoom(NotificationServiceServicer):
    """Answers NotificationService."""

    def __init__(self, inbox: Inbox, secret: SecretStr | None, clock: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._secret = secret
        self._clock = clock

    async def ReceiveNotification(
        self,
        request: ReceiveNotificationRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> ReceiveNotificationResponse:
        if self._secret is None:
            raise NotificationsOff
        body, now = request.notification.data, self._clock()
        if len(body) > MAX_BODY_BYTES:
            raise Invalid(Violation("notification", f"must be at most {MAX_BODY_BYTES} bytes"))
        require_signature(body, self._secret.get_secret_value().encode(), request.signature_v2, request.signature)
        notice = notice_of(body)
        require_fresh(notice, now)
        new = await self._inbox.put(notice, body, now)
        if notice.presence is None:
            _log.info("notification without effect", notice=notice.id, event_type=notice.event_type, new=new)
        return ReceiveNotificationResponse(notice_id=notice.id)
