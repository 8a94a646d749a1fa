// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <filesystem>
#include <iostream>

#include <boost/json/array.hpp>
#include <jobruntime/sqlite.hpp>

#include "store_copy.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

std::string directory() { return std::filesystem::current_path().string(); }

/// One end of a copy; a source must be there already.
std::unique_ptr<Store> open_end(const Invocation& in, const std::string& name, bool must_exist) {
    const auto text = in.text(name);
    auto address = host::read_address(text, directory(), true);
    if (!address) {
        fail(in, {Errc::invalid_argument, "INVALID_STORE", name + ": " + address.error().message});
        return nullptr;
    }
    if (must_exist && !host::is_mongo(*address) && !std::filesystem::exists(address->substr(7))) {
        fail(in, {Errc::not_found, "NO_STORE", "there is no store at " + address->substr(7)});
        return nullptr;
    }
    host::OpenOptions options;
    options.variable = name;
    options.origin = {"", "cli"};
    options.log = [&log = in.log](std::string_view line) { log.warn(line); };
    auto store = host::open_address(*address, std::move(options));
    if (store) {
        if (auto answered = host::try_store(**store))
            return *std::move(store);
        else
            store = Error{answered.error().code, answered.error().name,
                          host::public_address(*address) + " does not answer: " + answered.error().message};
    }
    fail_of_named(in, store.error());
    return nullptr;
}

void print_report(const Invocation& in, const Store& from, const Store& to, const host::CopyReport& report) {
    if (in.has("json")) {
        boost::json::array kept;
        for (const auto& key : report.records_kept) kept.push_back(boost::json::string(key));
        print_json({{"ok", true},
                    {"from", from.describe()},
                    {"to", to.describe()},
                    {"jobs", report.jobs},
                    {"jobsCopied", report.jobs_copied},
                    {"jobsKnown", report.jobs_known},
                    {"jobsGone", report.jobs_gone},
                    {"interrupted", report.interrupted},
                    {"events", report.events},
                    {"eventsCopied", report.events_copied},
                    {"eventsKnown", report.events_known},
                    {"eventsGone", report.events_gone},
                    {"records", report.records},
                    {"recordsCopied", report.records_copied},
                    {"recordsKnown", report.records_known},
                    {"recordsKept", std::move(kept)}});
        return;
    }
    std::cout << from.describe() << " -> " << to.describe() << "\n"
              << "jobs: " << report.jobs_copied << " copied, " << report.jobs_known
              << " were there; verified: all " << report.jobs << " of the source are in the target";
    if (report.jobs_gone > 0)
        std::cout << " but " << report.jobs_gone
                  << " that an earlier copy brought and that were deleted there since";
    std::cout << "\n";
    if (report.interrupted > 0)
        std::cout << report.interrupted << (report.interrupted == 1 ? " job was" : " jobs were")
                  << " running in the source and "
                  << (report.interrupted == 1 ? "waits" : "wait") << " again in the target\n";
    std::cout << "events: " << report.events_copied << " copied; verified: all " << report.events
              << " of the source are in the target";
    if (report.events_gone > 0) std::cout << " but " << report.events_gone << " that it no longer keeps";
    std::cout << "\nrecords: " << report.records_copied << " copied, " << report.records_known
              << " were there; verified: all " << report.records << " of the source are in the target\n";
    for (const auto& key : report.records_kept)
        std::cout << "record " << key << ": the target has another value and keeps it\n";
}

int copy(const Invocation& in) {
    auto from = open_end(in, "FROM", true);
    if (!from) return host::exit_failed;
    auto to = open_end(in, "TO", false);
    if (!to) return host::exit_failed;
    host::CopyOptions options;
    options.lease = in.config.lease;
    options.heartbeat = in.config.heartbeat;
    options.say = [&in](std::string_view line) { in.log.info(line); };
    auto report = host::copy_store(*from, *to, system_clock(), options);
    if (!report) return fail_of_named(in, report.error());
    print_report(in, *from, *to, *report);
    return host::exit_ok;
}

int backup(const Invocation& in) {
    if (host::is_mongo(in.config.store))
        return fail(in, {Errc::unsupported, "STORE_UNSUPPORTED",
                         "this makes copies of SQLite files; for " + host::public_address(in.config.store) +
                             " use mongodump, or jobrt store copy into a file while jobrt is stopped"});
    auto made = sqlite::back_up(in.config.store.substr(7), in.text("FILE"));
    if (!made) return fail(in, made.error());
    // Opened as a store once: what cannot be opened is no backup.
    sqlite::Options options;
    options.ballast_bytes = 0;
    auto opened = sqlite::open(made->path, std::move(options));
    if (!opened) return fail(in, opened.error());
    auto counted = (*opened)->count({}, CountBy::nothing);
    if (!counted) return fail(in, counted.error());
    opened->reset();
    std::error_code ignored;
    std::filesystem::remove_all(made->path + "-jobrt", ignored);
    if (in.has("json"))
        print_json({{"ok", true},
                    {"file", made->path},
                    {"bytes", made->bytes},
                    {"jobs", made->jobs},
                    {"events", made->events}});
    else
        std::cout << made->path << ": " << made->jobs << " jobs, " << made->events << " events, "
                  << made->bytes << " bytes; checked and opened\n";
    return host::exit_ok;
}

}  // namespace

std::vector<Command> store_commands() {
    return {
        {"store copy", "Copies all jobs, events and records of one store into another; run again, it goes on.",
         {{"FROM",
           "The store to read: sqlite:PATH, a path, or a mongodb:// URI. Nothing may be running on it."},
          {"TO", "The store to write; a file is made when missing. What it holds already stays."},
          {"--json", "Print JSON."}},
         {"jobrt store copy jobrt.db mongodb://db.example/jobrt",
          "jobrt store copy mongodb://db.example/jobrt sqlite:back.db"},
         copy},
        {"store backup", "Copies the configured SQLite store into a new file while it is in use, and checks the copy.",
         {{"FILE", "The file to make; it must not be there yet."}, {"--json", "Print JSON."}},
         {"jobrt store backup /backup/jobrt-$(date +%F).db"},
         backup},
    };
}

}  // namespace jobruntime::jobrt
