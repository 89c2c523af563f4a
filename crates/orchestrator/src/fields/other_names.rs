//! What a field of ours is called elsewhere: in the APIs of other products, which people move from, and in the arguments of our own SDKs.
//!
//! Recall.ai, Attendee, `MeetingBaas`, Vexa, Nylas Notetaker, Skribby and `MeetStream`, as their references had it in 2026.

/// The name here, and the names elsewhere. Case, underscores and hyphens do not count.
pub(super) type OtherNames = &'static [(&'static str, &'static [&'static str])];

pub(super) const OF_A_JOB: OtherNames = &[
    (
        "meetingUrl",
        &[
            "url",
            "link",
            "meeting",
            "meeting_link",
            "join_url",
            "join_link",
            "conference_url",
            "call_url",
            "room_url",
            "native_meeting_id",
        ],
    ),
    (
        "displayName",
        &["name", "bot_name", "bot_display_name", "notetaker_name", "participant_name"],
    ),
    (
        "joinAt",
        &[
            "join_time",
            "start_time",
            "start_at",
            "scheduled_at",
            "scheduled_for",
            "scheduled_time",
            "scheduled_start",
            "scheduled_start_time",
        ],
    ),
    ("externalId", &["deduplication_key"]),
    ("the header Idempotency-Key", &["idempotency_key"]),
    ("platform", &["meeting_platform", "service"]),
    ("webhooks.onStatusChange", &["on_status_change_url"]),
    ("webhooks.onFinalize", &["on_finalize_url"]),
    (
        "webhooks",
        &[
            "webhook_url",
            "webhook_urls",
            "webhook_config",
            "callback_url",
            "callback_config",
            "callback_settings",
        ],
    ),
    ("metadata", &["extra", "custom_metadata", "custom_attributes", "custom_data"]),
    (
        "autoLeave",
        &[
            "automatic_leave",
            "automatic_leave_settings",
            "auto_leave_settings",
            "timeout_config",
            "stop_options",
        ],
    ),
];

pub(super) const OF_WEBHOOKS: OtherNames = &[
    ("onStatusChange", &["url", "status_change", "on_status_change_url"]),
    ("onFinalize", &["finalize", "on_finalize_url", "on_complete", "on_completed"]),
];

pub(super) const OF_AUTO_LEAVE: OtherNames = &[
    (
        "afterEntryDelaySeconds",
        &[
            "after_entry_delay",
            "after_entry_delay_minutes",
            "after_entry_delay_ms",
            "waiting_room_timeout",
            "waiting_room_timeout_seconds",
            "wait_for_host_to_start_meeting_timeout_seconds",
        ],
    ),
    (
        "afterSilenceSeconds",
        &[
            "after_silence",
            "after_silence_minutes",
            "after_silence_ms",
            "silence_detection",
            "silence_timeout",
            "silence_timeout_seconds",
            "leave_after_silence_seconds",
        ],
    ),
    (
        "afterSoloSeconds",
        &[
            "after_solo",
            "after_solo_minutes",
            "after_solo_ms",
            "everyone_left_timeout",
            "noone_joined_timeout",
            "no_one_joined_timeout",
            "only_participant_in_meeting_timeout_seconds",
            "last_person_detection",
        ],
    ),
    (
        "afterMaxSeconds",
        &[
            "after_max",
            "after_max_minutes",
            "after_max_ms",
            "max_duration",
            "max_duration_seconds",
            "max_bot_time",
            "max_uptime_seconds",
            "time_limit",
        ],
    ),
    ("onBotDetected", &["bot_detection"]),
];

pub(super) const OF_A_CHAT_MESSAGE: OtherNames =
    &[("message", &["text", "content", "body", "chat_message"])];
