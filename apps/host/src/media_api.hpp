// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/json/array.hpp>
#include <jobruntime/api_router.hpp>
#include <jobruntime/net.hpp>

#include "platforms.hpp"

namespace jobruntime::host {

/// Adds url, canonicalUrl, outputPath and thumbnailPath to a job's JSON; null where they do not apply.
void media_members(const Job& job, boost::json::object& json);

/// What jobrt adds to core's API: creation by `{url}`, platforms, finished files.
class MediaApi {
public:
    MediaApi(JobQueue& queue, const PlatformFlags& flags, net::FetcherOptions fetcher, std::string download_dir,
             std::vector<net::Platform> platforms = net::default_platforms());

    /// Members for the router: what a media job's JSON has besides, and what deleting it does.
    void prepare(ApiOptions& options);
    /// Adds and wraps routes. The router outlives no part of this.
    void add_routes(ApiRouter& router);
    /// The platforms from now on. From any thread.
    void set_platforms(std::vector<net::Platform> platforms);

    /// The job for a post's URL; INVALID_URL, PLATFORM_DISABLED, or the store's error.
    Result<JobSpec> job_for(std::string_view url, EnqueueOptions options) const;
    /// Whether the file that a completed job names is there.
    bool has_file(const Job& job) const;
    /// True when it is not: then what lay beside it, thumbnail and JSON, goes too, since the job will be run again and
    /// make its own.
    bool clear_if_gone(const Job& job) const;

private:
    using Platforms = std::shared_ptr<const std::vector<net::Platform>>;  // Of whoever asked before they were replaced, too.
    Platforms platforms() const;
    Response create(ApiRouter& router, const Request& request, const RouteMatch& match) const;
    Response capabilities(const ApiRouter& router) const;
    /// By platform, what each worker that lives says of its log-in.
    Result<std::map<std::string, boost::json::array, std::less<>>> logins() const;
    Response change_capabilities(const ApiRouter& router, const RouteMatch& match) const;
    Response serve_file(const Request& request, const RouteMatch& match) const;

    JobQueue& queue_;
    const PlatformFlags& flags_;
    net::Fetcher fetcher_;
    std::string download_dir_;
    Clock* clock_ = &system_clock();
    Duration lease_{};
    mutable std::mutex mutex_;
    Platforms platforms_;  // Guarded by mutex_.
};

}  // namespace jobruntime::host
