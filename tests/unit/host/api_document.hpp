// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>

#include <jobruntime/api_router.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/net.hpp>

#include "host/src/media_api.hpp"

namespace api_document {

/// All routes of jobrt, on a store of memory.
struct Table {
    explicit Table(jobruntime::TelemetrySink* sink = nullptr);

    jobruntime::host::Config config;
    std::unique_ptr<jobruntime::Store> store = jobruntime::memory::open();
    jobruntime::JobQueue queue{*store};
    jobruntime::host::PlatformFlags flags{*store, config};
    jobruntime::host::MediaApi media{queue, flags, jobruntime::net::FetcherOptions{}, "downloads"};
    std::unique_ptr<jobruntime::ApiRouter> router;
};

/// docs/api.md with what stands between "<!-- from the table: NAME -->" and "<!-- end -->" made anew: the list of
/// routes, the list of errors, and under each route's heading its parameters and answers. A section that has no such
/// part gets one.
std::string refreshed(const jobruntime::ApiRouter& router, const std::string& document);

}  // namespace api_document
