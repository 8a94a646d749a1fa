// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/json/object.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/store.hpp>

#include "cli.hpp"

namespace jobruntime::jobrt {

using host::Command;
using host::Invocation;

/// The commands, one file each; main() puts them into one table.
std::vector<Command> save_commands();
std::vector<Command> job_commands();
std::vector<Command> event_commands();
std::vector<Command> health_commands();
std::vector<Command> doctor_commands();
std::vector<Command> config_commands();
std::vector<Command> auth_commands();
std::vector<Command> extract_commands();
std::vector<Command> token_commands();
std::vector<Command> bench_commands();
std::vector<Command> demo_commands();
std::vector<Command> store_commands();
std::vector<Command> import_commands();

// What they share.

/// The configured store, which must be there already: a command that looks must not make one. Complains itself.
std::unique_ptr<Store> existing_store(const Invocation& in);
/// The configured store, made when missing. Complains itself.
std::unique_ptr<Store> any_store(const Invocation& in);
/// Prints one object on stdout, as one line.
void print_json(const boost::json::object& object);
/// The job's JSON as the API shows it.
boost::json::object job_object(const Job& job, std::string_view waiting_for);
/// Prints "NAME: message" on stderr, as {"ok":false,…} on stdout with --json; returns exit code 1.
int fail(const Invocation& in, const Error& error);
/// The same, of a store that the command line names: it is not the configured one.
int fail_of_named(const Invocation& in, const Error& error);
/// Of several workers' profiles (PLAYWRIGHT_USER_DATA_DIR with `%i`) the first, where `auth` keeps what it imports.
std::string first_profile(const Invocation& in);
/// A job id, or unset after a complaint.
std::optional<JobId> job_id(const Invocation& in, const std::string& text);
struct ApiAnswer {
    int status = 0;
    boost::json::object body;
};
/// One request to the API that --api names: GET, or POST of `body`. It may be at any address, since the operator has
/// named it; a redirect is not followed. NOT_JOBRT when no JSON object comes, else the errors of net::Fetcher.
/// `token`: of the access, sent as Authorization; empty = none.
Result<ApiAnswer> call_api(const std::string& base, const std::string& path, const boost::json::object* body = nullptr,
                           const std::string& token = {});
/// What the API says went wrong, as an error: with its code and sentence.
Error refused(const ApiAnswer& answer);
/// A GET; the body, or `refused` for a status of 400 and more.
Result<boost::json::object> get_api(const std::string& base, const std::string& path, const std::string& token = {});
/// The token in the file that JOBRT_API_TOKEN_FILE names; empty when none is named. INVALID_CONFIGURATION.
Result<std::string> api_token(const Invocation& in);

}  // namespace jobruntime::jobrt
