//! Which failed inputs are triggered again, and when: the one table.

/// What a failure means for the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Trigger it again after this many seconds, as long as attempts are left.
    Again {
        /// Seconds.
        after: u32,
    },
    /// Another attempt would bring the same.
    Final,
}

/// Codes that are ours, where the API gives none.
pub mod codes {
    /// An error row without `error_code`.
    pub const NO_CODE: &str = "no_code";
    /// The log counts failures that no error row explains.
    pub const UNATTRIBUTED: &str = "unattributed";
    /// The collection ended as failed, without data.
    pub const COLLECTION_FAILED: &str = "collection_failed";
    /// Somebody cancelled the collection.
    pub const COLLECTION_CANCELLED: &str = "collection_cancelled";
    /// The collection ran past `COLLECTION_DEADLINE_SECONDS` and was cancelled.
    pub const COLLECTION_DEADLINE: &str = "collection_deadline";
    /// The API does not know the collection any more (results are deleted after 16 days).
    pub const COLLECTION_GONE: &str = "collection_gone";
    /// A person gave it up.
    pub const GIVEN_UP: &str = "given_up";
    /// The dataset cannot be read as records.
    pub const DATASET_UNREADABLE: &str = "dataset_unreadable";
}

/// Decides by `error_code` (API page on error codes; its advice on what is worth a retry is followed).
pub fn decide(code: &str, retry_unattributed: bool) -> Decision {
    match code {
        // The input or its target: the same page gives the same answer.
        "bad_input"
        | "ERR_INVALID_URL"
        | "dead_page"
        | "child_input_size_validation"
        | "collector_request_validation" => Decision::Final,
        // The collector's code asks for something that cannot work.
        "bad_cmd_arg" | "not_supported_cmd" | "page_too_big" | "too_many_pages" => Decision::Final,
        // Ended on purpose, or nothing is left to fetch: triggering again would pay again for a decision already taken.
        codes::COLLECTION_CANCELLED
        | codes::COLLECTION_DEADLINE
        | codes::COLLECTION_GONE
        | codes::GIVEN_UP
        | codes::DATASET_UNREADABLE => Decision::Final,
        codes::UNATTRIBUTED if !retry_unattributed => Decision::Final,
        code if code.starts_with("refused_") => Decision::Final,
        // Limits need time to recover.
        "global_rate_limit" | "bucket_rate_limit" | "worker_too_busy" => Decision::Again { after: 30 },
        "blocked" | "block" | "detect_block" | "captcha_timeout" => Decision::Again { after: 15 },
        // Everything else is trouble on the way (browser, proxy, network, parser, platform), or unknown.
        _ => Decision::Again { after: 5 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_advice_is_followed() {
        for code in ["bad_input", "ERR_INVALID_URL", "dead_page", "refused_422"] {
            assert_eq!(decide(code, true), Decision::Final, "{code}");
        }
        for code in ["infra_error", "runner_disconnected", "browser_disconnected", "proxy_error", "a_code_of_tomorrow"]
        {
            assert_eq!(decide(code, true), Decision::Again { after: 5 }, "{code}");
        }
        for code in ["worker_too_busy", "global_rate_limit", "bucket_rate_limit"] {
            assert_eq!(decide(code, true), Decision::Again { after: 30 }, "{code}");
        }
        assert_eq!(decide(codes::UNATTRIBUTED, false), Decision::Final);
        assert_eq!(decide(codes::UNATTRIBUTED, true), Decision::Again { after: 5 });
    }
}
