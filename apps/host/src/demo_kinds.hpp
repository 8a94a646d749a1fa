// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <jobruntime/worker.hpp>

namespace jobruntime::host {

/// Two kinds for trying things without the network: demo.echo answers with its payload; demo.sleep
/// `{ms, failTimes?, steps?}` waits in `steps` checkpoints and fails its first `failTimes` attempts with DEMO_FAILED.
void register_demo_kinds(Worker& worker);

}  // namespace jobruntime::host
