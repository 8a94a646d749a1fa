// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

/// All of core in one include. Stores other than memory, and every other component, have headers of
/// their own: sqlite.hpp, mongo.hpp, http.hpp, net.hpp, extract.hpp, media.hpp, testing/…; so has what stands on a server of
/// the program's own: httplib.hpp.
/// In the order in which one job meets them:

#include <jobruntime/result.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/typed.hpp>
#include <jobruntime/outcome.hpp>
#include <jobruntime/event.hpp>
#include <jobruntime/telemetry_sink.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/heartbeat.hpp>
#include <jobruntime/worker.hpp>
#include <jobruntime/api_router.hpp>
#include <jobruntime/blocking_api.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/subprocess.hpp>
