// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>

#include <jobruntime/clock.hpp>
#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>

namespace jobruntime::core {

/// Server-sent events as the operator contract spells them.
JOBRUNTIME_API std::string sse_telemetry(const Event& event);
/// `at` is the position to resume from; unset while none is known.
JOBRUNTIME_API std::string sse_heartbeat(Time now, std::optional<EventId> at);
/// Events after the position that was asked for are gone; `oldest` is the first still kept.
JOBRUNTIME_API std::string sse_truncated(EventId oldest);
/// The last words of a stream; the client should come back with Last-Event-ID.
JOBRUNTIME_API std::string sse_shutdown(Time now);
JOBRUNTIME_API std::string sse_dropped(Time now);
/// The last words to a caller whose token does not count any more.
JOBRUNTIME_API std::string sse_revoked(Time now);

}  // namespace jobruntime::core
