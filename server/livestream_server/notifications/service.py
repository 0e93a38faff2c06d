"""NotificationService: stores what Agora sends, and answers before it has its effect."""

import structlog
from pydantic import SecretStr

from livestream.v1.notification_service_pb2 import ReceiveNotificationRequest, ReceiveNotificationResponse
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.notifications.model import (
    MAX_BODY_BYTES,
    NotificationsOff,
    parse_notification,
    require_fresh,
    require_signature,
)
from livestream_server.notifications.store import Inbox
from livestream_server.protocols import Clock
from livestream_server.transport.call import Call

_log = structlog.get_logger("livestream.notifications")


class NotificationServicer:
    """Answers NotificationService."""

    def __init__(self, inbox: Inbox, secret: SecretStr | None, clock: Clock) -> None:
        self._inbox = inbox
        self._secret = secret
        self._clock = clock

    async def ReceiveNotification(
        self,
        request: ReceiveNotificationRequest,
        _call: Call,
    ) -> ReceiveNotificationResponse:
        if self._secret is None:
            raise NotificationsOff
        body, now = request.notification.data, self._clock()
        if len(body) > MAX_BODY_BYTES:
            raise InvalidArgument(Violation("notification", f"must be at most {MAX_BODY_BYTES} bytes"))
        require_signature(body, self._secret.get_secret_value().encode(), request.signature_v2, request.signature)
        notification = parse_notification(body)
        require_fresh(notification, now)
        new = await self._inbox.put(notification, body, now)
        if notification.presence is None:
            _log.info(
                "notification without effect", notification=notification.id, event_type=notification.event_type, new=new
            )
        return ReceiveNotificationResponse(notice_id=notification.id)
