// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// Fills in host, boot_id and pid where they are empty.
void add_host_facts(SessionFacts& facts);

}  // namespace jobruntime::core
