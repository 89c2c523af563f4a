//! Names of fields and query parameters in other APIs, from which users migrate, and in the arguments of the SDKs.
//!
//! Recall.ai, Attendee, `MeetingBaas`, Vexa, Nylas Notetaker, Skribby and `MeetStream`, as their references had it in 2026.

/// A name of this API with its names elsewhere. Case, underscores, hyphens and the unit of a duration are ignored.
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
    ("recordVideo", &["video", "record_camera", "record_cameras", "video_recording"]),
    ("account", &["login", "account_name", "google_login"]),
    ("platform", &["meeting_platform", "service"]),
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
    (
        "onStatusChange",
        &["url", "webhook_url", "callback_url", "status_change", "on_status_change_url"],
    ),
    ("onFinalize", &["finalize", "on_finalize_url", "on_complete", "on_completed"]),
];

pub(super) const OF_AUTO_LEAVE: OtherNames = &[
    ("afterEntryDelaySeconds", &["waiting_room_timeout", "wait_for_host_to_start_meeting_timeout"]),
    ("afterSilenceSeconds", &["silence_detection", "silence_timeout", "leave_after_silence"]),
    (
        "afterSoloSeconds",
        &[
            "everyone_left_timeout",
            "noone_joined_timeout",
            "no_one_joined_timeout",
            "only_participant_in_meeting_timeout",
            "last_person_detection",
        ],
    ),
    ("afterMaxSeconds", &["max_duration", "max_bot_time", "max_uptime", "time_limit"]),
    ("onBotDetected", &["bot_detection"]),
];

pub(super) const OF_A_CHAT_MESSAGE: OtherNames =
    &[("message", &["text", "content", "body", "chat_message"])];

pub(super) const OF_AN_ENDPOINT: OtherNames = &[
    ("endpoint", &["url", "webhook_url", "endpoint_url", "target_url"]),
    ("since", &["from", "after", "start"]),
];

pub(super) const OF_A_KEY: OtherNames = &[
    ("consumer", &["consumer_name", "tenant", "customer"]),
    ("scope", &["scopes", "role", "permission", "permissions"]),
    ("expiresAt", &["expires", "expiry", "expiration", "valid_until"]),
];

/// Names of derived values in responses.
pub(super) const OF_A_QUOTA: OtherNames = &[
    ("bots", &["max_bots"]),
    ("minutes", &["max_minutes"]),
    ("queuedJobs", &["max_queued_jobs", "queued", "queue"]),
    ("workerLabels", &["labels"]),
];

/// Query parameters of all calls. Entries for a parameter that a call does not have are skipped; of two with the same name the first applies.
pub(super) const OF_PARAMETERS: OtherNames = &[
    ("status", &["statuses", "state", "states", "job_status", "bot_status", "status_in"]),
    ("state", &["states", "status", "statuses", "delivery_state", "delivery_status", "state_in"]),
    ("externalId", &["deduplication_key"]),
    ("platform", &["meeting_platform", "service"]),
    ("jobId", &["job", "bot", "bot_id", "job_ids", "bot_ids"]),
    (
        "createdAfter",
        &[
            "created_at_after",
            "created_since",
            "created_from",
            "created_gt",
            "created_gte",
            "created_at_gt",
            "created_at_gte",
            "created[gt]",
            "created[gte]",
            "created_at[gt]",
            "created_at[gte]",
            "since",
            "from",
            "from_date",
            "date_from",
            "start_date",
        ],
    ),
    (
        "createdBefore",
        &[
            "created_at_before",
            "created_until",
            "created_to",
            "created_lt",
            "created_lte",
            "created_at_lt",
            "created_at_lte",
            "created[lt]",
            "created[lte]",
            "created_at[lt]",
            "created_at[lte]",
            "until",
            "to",
            "to_date",
            "date_to",
            "end_date",
        ],
    ),
    (
        "limit",
        &[
            "page_size",
            "page_limit",
            "page[size]",
            "page[limit]",
            "per_page",
            "max_results",
            "results_per_page",
            "count",
            "size",
            "take",
            "top",
        ],
    ),
    (
        "cursor",
        &[
            "next",
            "next_cursor",
            "next_token",
            "next_page",
            "next_page_token",
            "page",
            "page_token",
            "page_cursor",
            "page_number",
            "continuation_token",
            "after",
            "after_id",
            "start_after",
            "starting_after",
            "before",
            "ending_before",
            "since",
            "since_id",
            "offset",
            "skip",
        ],
    ),
    ("confirm", &["confirmation", "confirmed", "consumer", "consumer_name"]),
];
