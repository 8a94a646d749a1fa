// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <cmath>
#include <filesystem>
#include <iostream>

#include <boost/json/array.hpp>
#include <jobruntime/extract.hpp>
#include <jobruntime/job_queue.hpp>

#include "parts.hpp"
#include "port_owner.hpp"
#include "process.hpp"
#include "session_watch.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

/// Collects findings; prints them as lines or as one JSON object at the end.
class Report {
public:
    void good(std::string text) { add("ok", std::move(text)); }
    void warn(std::string text) { add("warning", std::move(text)); }
    void bad(std::string text) {
        failed_ = true;
        add("problem", std::move(text));
    }
    int finish(const Invocation& in) {
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

private:
    void add(std::string_view kind, std::string text) {
        lines_.push_back(boost::json::object{{"kind", kind}, {"text", std::move(text)}});
    }
    boost::json::array lines_;
    bool failed_ = false;
};

std::string detail(const SessionInfo& session, std::string_view name) {
    const auto* value = session.facts.details.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
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
    if (works) return;
    JobQueue queue(store);
    auto waiting = queue.count({.states = {JobState::queued, JobState::scheduled}}, CountBy::nothing);
    const auto count = waiting && !waiting->empty() ? waiting->front().count : 0;
    report.warn("no worker is running; start one with ROLE=worker (" + std::to_string(count) + " jobs wait)");
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
    auto answer = get_api("http://127.0.0.1:" + port, "/api/health");
    const auto* service = answer ? answer->if_contains("service") : nullptr;
    if (service) return report.good("port " + port + ": jobrt answers (pid " + owner->pid_text() + ")");
    report.bad("port " + port + " is held by another program: pid " + owner->pid_text() + " " + owner->program +
               "; stop it or set PORT");
}

/// The six lines of the deployment checklist, live.
void run_checklist(const Invocation& in, Report& report, Store& store) {
    const std::string api = "http://127.0.0.1:" + std::to_string(in.config.port);
    auto check = [&](bool ok, const std::string& text) { ok ? report.good(text) : report.bad(text); };
    auto status = get_api(api, "/api/status");
    const auto* name = status ? status->if_contains("store") : nullptr;
    check(name && name->is_string() && std::string_view(name->get_string()) == host::store_name(in.config),
          "1. API and worker share the store " + host::store_name(in.config));
    check(static_cast<bool>(status), "2. the API listens on port " + std::to_string(in.config.port));
    check(host::missing_programs(in.config).empty(), "3. the worker finds its browser and media helper");
    auto health = get_api(api, "/api/worker/health");
    const auto* ok = health ? health->if_contains("ok") : nullptr;
    check(ok && ok->is_bool() && ok->get_bool(), "4. worker heartbeat is ok");
    JobQueue queue(store);
    auto entered = queue.enqueue("demo.echo", {{"checklist", true}});
    auto ended = entered ? queue.wait(entered->id, Duration{30'000}) : Result<Job>(entered.error());
    check(ended && ended->state == JobState::completed, "5. a submitted job reaches completed");
    std::string names;
    if (ended) {
        auto seen = get_api(api, "/api/telemetry?jobId=" + ended->id.str());
        const auto* events = seen ? seen->if_contains("events") : nullptr;
        if (events && events->is_array())
            for (const auto& event : events->get_array())
                if (const auto* label = event.is_object() ? event.get_object().if_contains("event") : nullptr)
                    if (label->is_string()) names += std::string(label->get_string()) + " ";
    }
    const auto claimed = names.find("worker.job.claimed");
    check(claimed != std::string::npos && names.find("worker.job.completed") > claimed &&
              names.find("worker.job.completed") != std::string::npos,
          "6. worker events appear at the API, in order");
}

int doctor(const Invocation& in) {
    Report report;
    for (const auto& warning : in.settings.warnings()) report.warn(warning);
    check_machine(in, report);
    check_port(in, report);
    if (in.config.store.starts_with("sqlite:") && !std::filesystem::exists(in.config.store.substr(7))) {
        report.warn("there is no store at " + in.config.store.substr(7) + " yet; the first start makes it");
    } else if (auto store = host::open_store(in.config, {"", "cli"}, in.log)) {
        if (auto answers = host::try_store(**store); !answers) {
            report.bad("store " + host::store_name(in.config) + " (" + in.config.store_variable + "): " + answers.error().message);
            return report.finish(in);
        }
        report.good("store: " + (*store)->describe() + " (" + in.config.store_variable + ")");
        check_sessions(in, report, **store);
        if (in.has("checklist")) run_checklist(in, report, **store);
    } else {
        report.bad("store " + host::store_name(in.config) + " (" + in.config.store_variable + "): " + store.error().message);
    }
    return report.finish(in);
}

}  // namespace

std::vector<Command> doctor_commands() {
    return {{"doctor", "Says what is missing or wrong on this machine and in the store, and how to mend it.",
             {{"--checklist", "Run the deployment checklist against the running processes."},
              {"--json", "Print the findings as JSON."}},
             {"jobrt doctor", "jobrt doctor --checklist"}, doctor}};
}

}  // namespace jobruntime::jobrt
