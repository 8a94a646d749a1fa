// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include <jobruntime/api_router.hpp>

namespace jobruntime::core {

/// Core's routes without their handlers.
std::vector<Route> core_routes(const ApiOptions& options);
/// Those of them that are for workers by HTTP (api_worker.cpp).
std::vector<Route> worker_routes();
/// Core's codes, and those of the host under the router.
std::vector<ErrorCode> core_error_codes();
std::vector<RouteShape> core_shapes(const ApiOptions& options);

/// What filters jobs, as names of a query or as members of a body.
std::vector<RouteField> job_filter_fields();

/// The filter of a checked query or body.
JobFilter job_filter(const RouteMatch& match);
JobFilter job_filter(const boost::json::object& members);

/// Checks what was sent by its rows: Errc::invalid_argument with the field's own code. `where` stands before the names of
/// members in messages, e.g. "filter.".
Result<void> check_query(const Route& route, const RouteMatch& match);
Result<void> check_members(const std::vector<RouteField>& fields, const boost::json::object& members,
                           const std::string& where = {});
/// As check_members, for the fields alone: other members may be there.
Result<void> check_known_members(const std::vector<RouteField>& fields, const boost::json::object& members,
                                 const std::string& where = {});
/// Has handlers find each whole number of a checked body as one, however it was written (3.0, 1e2).
void make_whole(const std::vector<RouteField>& fields, boost::json::object& members);
/// The refusal of a path whose names hold what they cannot; nothing when they fit.
std::optional<Response> check_path(const Route& route, const RouteMatch& match);

}  // namespace jobruntime::core
