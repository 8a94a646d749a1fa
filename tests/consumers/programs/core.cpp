// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The smallest user of the core: values, errors and JSON.
#include <cstdio>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <jobruntime/result.hpp>

int main() {
    const jobruntime::Result<int> none = jobruntime::Error{jobruntime::Errc::not_found, "no job has this id"};
    boost::json::object answer;
    answer["code"] = std::string(to_string(none.error().code));
    std::puts(boost::json::serialize(answer).c_str());
    return none ? 1 : 0;
}
