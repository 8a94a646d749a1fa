// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "doctor.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>

#include <jobruntime/clock.hpp>
#include <jobruntime/extract.hpp>

#include "parts.hpp"
#include "port_owner.hpp"
#include "process.hpp"
#include "session_watch.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

std::string detail(const SessionInfo& session, std::string_view name) {
    const auto* value = session.facts.details.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// "12 s", "5 min", "3 h".
std::string readable(Duration age) {
    const auto seconds = std::max<std::int64_t>(0, age.count() / 1000);
    if (seconds < 120) return std::to_string(seconds) + " s";
    if (seconds < 7200) return std::to_string(seconds / 60) + " min";
    return std::to_string(seconds / 3600) + " h";
}

/// How many jobs could run now, and for how long the oldest has waited.
std::string waiting_jobs(Store& store) {
    const JobFilter filter{.states = {JobState::queued}};
    const auto rows = store.count(filter, CountBy::nothing);
    const auto count = rows && !rows->empty() ? rows->front().count : 0;
    std::string text = std::to_string(count) + (count == 1 ? " job waits" : " jobs wait");
    auto page = store.list(filter, JobOrder::oldest_first, "", 1, 0);
    while (page && page->jobs.empty() && !page->next_cursor.empty())
        page = store.list(filter, JobOrder::oldest_first, page->next_cursor, 1, 0);
    if (!page || page->jobs.empty()) return text;
    const auto& oldest = page->jobs.front();
    return text + ", the oldest for " + readable(system_clock().wall() - std::max(oldest.created_at, oldest.run_at)) +
           " (jobrt jobs why " + oldest.id.str() + ")";
}

void check_sessions(const Invocation& in, Report& report, Store& store) {
    host::WatchOptions watching;
    watching.lease = in.config.lease;
    watching.heartbeat = in.config.heartbeat;
    auto live = host::live_processes(store, system_clock(), watching);
    if (!live) return report.bad("the store does not list its processes: " + live.error().message);
    bool works = false;
    for (const auto& process : *live) {
        const auto& session = process.session;
        works = works || session.facts.works;
        report.good("live process: " + session.facts.role + ", pid " + std::to_string(session.facts.pid) + " on " +
                    session.facts.host + ", version " + session.facts.version + ", store " + detail(session, "store") +
                    (detail(session, "telemetrySink").empty() ? "" : ", telemetry " + detail(session, "telemetrySink")));
        if (const auto* missing = session.facts.details.if_contains("missing"); missing && missing->is_array())
            for (const auto& line : missing->get_array())
                if (line.is_string())
                    report.warn("pid " + std::to_string(session.facts.pid) + " misses: " + std::string(line.get_string()));
    }
    for (const auto& line : host::mismatches(*live, JOBRUNTIME_VERSION)) report.warn(line);
    if (works) return report.good(waiting_jobs(store));
    report.warn("no worker is running; start one with ROLE=worker; " + waiting_jobs(store));
}

void check_machine(const Invocation& in, Report& report) {
    if (auto browser = extract::find_browser(in.config.browser)) report.good("browser: " + *browser);
    for (const auto& line : host::missing_programs(in.config)) report.bad(line);
    std::error_code code;
    std::filesystem::path folder = in.config.download_dir;
    while (!std::filesystem::exists(folder, code) && folder.has_relative_path()) folder = folder.parent_path();
    const auto space = std::filesystem::space(folder, code);
    if (code) return report.bad("cannot look at " + in.config.download_dir + ": " + code.message());
    const auto gib = static_cast<double>(space.available) / (1u << 30);
    const auto text = "downloads: " + in.config.download_dir + ", " + std::to_string(std::lround(gib)) + " GiB free";
    gib < 1 ? report.warn(text + "; make room") : report.good(text);
}

void check_port(const Invocation& in, Report& report) {
    if (in.config.role == host::ProcessRole::worker || in.config.port == 0) return;
    const auto owner = port_owner(in.config.port);
    const auto port = std::to_string(in.config.port);
    if (!owner) return report.good("port " + port + " is free");
    const auto answer = call_api(api_address(in.config), "/api/health");
    if (answer && answer->body.contains("service"))
        return report.good("port " + port + ": jobrt answers (pid " + owner->pid_text() + ")");
    if (answer && answer->status == 503)
        return report.bad("port " + port + ": jobrt answers (pid " + owner->pid_text() +
                          "), but its store does not; look at the store that it names at its start");
    report.bad("port " + port + " is held by another program: pid " + owner->pid_text() +
               (owner->program.empty() ? "" : " " + owner->program) + "; stop it or set PORT");
}

void check_store(const Invocation& in, Report& report) {
    const auto called = "store " + host::store_name(in.config) + " (" + in.config.store_variable + "): ";
    if (in.config.store.starts_with("sqlite:") && !std::filesystem::exists(in.config.store.substr(7)))
        return report.warn("there is no store at " + in.config.store.substr(7) + " yet; the first start makes it");
    auto store = host::open_store(in.config, {"", "cli"}, in.log);
    if (!store) return report.bad(called + store.error().message);
    if (auto answers = host::try_store(**store); !answers) return report.bad(called + answers.error().message);
    report.good("store: " + (*store)->describe() + " (" + in.config.store_variable + ")");
    check_sessions(in, report, **store);
}

int doctor(const Invocation& in) {
    Report report;
    for (const auto& warning : in.settings.warnings()) report.warn(warning);
    check_machine(in, report);
    check_port(in, report);
    check_store(in, report);
    if (in.has("checklist")) run_checklist(in, report);
    return report.finish(in);
}

}  // namespace

int Report::finish(const Invocation& in) const {
    if (in.has("json")) {
        print_json({{"ok", !failed_}, {"findings", lines_}});
    } else {
        for (const auto& line : lines_) {
            const auto& object = line.get_object();
            std::cout << std::string_view(object.at("kind").get_string()) << ": "
                      << std::string_view(object.at("text").get_string()) << "\n";
        }
    }
    return failed_ ? host::exit_failed : host::exit_ok;
}

std::vector<Command> doctor_commands() {
    return {{"doctor", "Says what is missing or wrong on this machine and in the store, and how to mend it.",
             {{"--checklist", "Run the deployment checklist against the running processes."},
              {"--json", "Print the findings as JSON."}},
             {"jobrt doctor", "jobrt doctor --checklist"}, doctor}};
}

}  // namespace jobruntime::jobrt
