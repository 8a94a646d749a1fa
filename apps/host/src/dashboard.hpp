// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <span>
#include <string_view>

#include <jobruntime/api_router.hpp>

namespace jobruntime::host {

/// A file of the dashboard, as it lies in the program.
struct DashboardFile {
    std::string_view path;          ///< "index.html", "assets/index-1f2e3d4c.js".
    std::string_view content_type;
    std::string_view etag;          ///< With its quotes.
    std::string_view bytes;
    bool gzip = false;              ///< That is how the bytes are.
};

/// Made by the build from apps/dashboard/dist.
std::span<const DashboardFile> dashboard_files();

/// The dashboard at `/`, for whoever may read, and what it is made of, which is no secret, below `/assets/`.
void add_dashboard(ApiRouter& router);

}  // namespace jobruntime::host
