// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "process.hpp"

namespace jobruntime::host {

/// The HTTP API of a process. In a target of its own: whoever links it gets no browser.
std::unique_ptr<Part> make_api_part(Process& process);

/// The worker of a process. In a target of its own: whoever links it gets no HTTP server.
std::unique_ptr<Part> make_worker_part(Process& process);

/// A worker for one media job in `queue`, of a store that others use, too: it claims no other, tidies nothing, and
/// its session does not count as a worker. In the target of make_worker_part.
std::unique_ptr<Part> make_job_worker(Process& process, JobId job, std::string queue);

/// What that worker would refuse of the configuration when it starts, found out before its job is put in.
Result<void> check_job_worker(const Process& process);

/// What a worker on this machine is missing, one sentence each with how to install it; empty = nothing.
std::vector<std::string> missing_programs(const Config& config);

}  // namespace jobruntime::host
