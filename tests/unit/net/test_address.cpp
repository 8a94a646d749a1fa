// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/socket.h>
#include <sys/un.h>

#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

using namespace jobruntime;
using namespace jobruntime::net;

TEST_CASE("special addresses are refused, to their last one") {
    for (const auto* address : {"0.0.0.0",
                                "0.255.255.255",
                                "10.0.0.0",
                                "10.255.255.255",
                                "100.64.0.0",
                                "100.127.255.255",
                                "127.0.0.1",
                                "127.255.255.255",
                                "169.254.0.0",
                                "169.254.169.254",
                                "172.16.0.0",
                                "172.31.255.255",
                                "192.0.0.0",
                                "192.0.0.255",
                                "192.0.2.1",
                                "192.88.99.1",
                                "192.168.0.0",
                                "192.168.255.255",
                                "198.18.0.0",
                                "198.19.255.255",
                                "198.51.100.7",
                                "203.0.113.255",
                                "224.0.0.1",
                                "239.255.255.255",
                                "240.0.0.0",
                                "255.255.255.255",
                                "::",
                                "::1",
                                "::2",
                                "::127.0.0.1",
                                "::8.8.8.8",
                                "::ffff:127.0.0.1",
                                "::ffff:8.8.8.8",
                                "::ffff:0:8.8.8.8",
                                "64:ff9b::8.8.8.8",
                                "64:ff9b::7f00:1",
                                "64:ff9b:1::1",
                                "64:ff9b:1:ffff::1",
                                "100::1",
                                "2001::1",
                                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                                "2001:2::1",
                                "2001:10::1",
                                "2001:20::1",
                                "2001:1ff:ffff::1",
                                "2001:db8::1",
                                "2001:db8:ffff::1",
                                "2002:7f00:1::1",
                                "2002:808:808::1",
                                "3fff::1",
                                "3fff:fff::1",
                                "5f00::1",
                                "4000::1",
                                "1fff::1",
                                "fc00::1",
                                "fdff::1",
                                "fe80::1",
                                "febf::1",
                                "fec0::1",
                                "ff02::1",
                                "ffff::"}) {
        CAPTURE(address);
        const auto verdict = vet(address);
        REQUIRE_FALSE(verdict);
        CHECK(verdict.error().name == "SSRF_BLOCKED");
        CHECK(verdict.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("public addresses pass, right up to the borders") {
    for (const auto* address : {"1.0.0.0",
                                "8.8.8.8",
                                "9.255.255.255",
                                "11.0.0.0",
                                "100.63.255.255",
                                "100.128.0.0",
                                "126.255.255.255",
                                "128.0.0.0",
                                "169.253.255.255",
                                "169.255.0.0",
                                "172.15.255.255",
                                "172.32.0.0",
                                "191.255.255.255",
                                "192.0.1.0",
                                "192.0.3.0",
                                "192.88.98.255",
                                "192.88.100.0",
                                "192.167.255.255",
                                "192.169.0.0",
                                "198.17.255.255",
                                "198.20.0.0",
                                "198.51.99.255",
                                "198.51.101.0",
                                "203.0.112.255",
                                "203.0.114.0",
                                "223.255.255.255",
                                "2000::1",
                                "2001:200::1",
                                "2001:4860:4860::8888",
                                "2001:db7::1",
                                "2001:db9::1",
                                "2003::1",
                                "2606:4700::1111",
                                "3ffe::1",
                                "3fff:1000::1"}) {
        CAPTURE(address);
        CHECK(vet(address).has_value());
    }
}

TEST_CASE("what is no numeric address is refused") {
    for (const auto* text :
         {"", "localhost", "127.1", "0x7f.1", "1.2.3.4.5", "1.2.3.4 ", "[::1]", "::1%lo", "1.2.3"}) {
        CAPTURE(text);
        CHECK(vet(std::string_view(text)).error().name == "INVALID_URL");
    }
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    CHECK(vet(reinterpret_cast<const sockaddr&>(local)).error().name == "SSRF_BLOCKED");
}

TEST_CASE("an allowed network lets its own addresses through and no other") {
    const auto allowed = Network::parse_list("127.0.0.0/8, 10.1.2.3,fd00::/8  ::1").value();
    CHECK(allowed.size() == 4);
    for (const auto* address : {"127.0.0.1", "127.255.255.255", "10.1.2.3", "fd12::1", "::1", "8.8.8.8"})
        CHECK_MESSAGE(vet(address, allowed).has_value(), address);
    // A mapped address is another address: allowing 127.0.0.0/8 does not allow it.
    for (const auto* address : {"10.1.2.4", "192.168.0.1", "fc00::1", "::2", "::ffff:127.0.0.1", "7f00::"})
        CHECK_MESSAGE(!vet(address, allowed).has_value(), address);
    CHECK(vet("10.200.0.1", Network::parse_list("0.0.0.0/0").value()).has_value());
    CHECK_FALSE(vet("fe80::1", Network::parse_list("0.0.0.0/0").value()).has_value());
    CHECK(vet("172.16.5.5", Network::parse_list("172.16.4.0/22").value()).has_value());
    CHECK_FALSE(vet("172.16.8.0", Network::parse_list("172.16.4.0/22").value()).has_value());
}

TEST_CASE("networks are written strictly") {
    for (const auto* text :
         {"", "x", "127.0.0.0/", "127.0.0.0/33", "127.0.0.0/-1", "127.0.0.0/8x", "127.0.0.1/8", "127/8",
          "::/129", "fd00::1/8", "127.0.0.0/ 8", "127.0.0.0/8/8"}) {
        CAPTURE(text);
        CHECK(Network::parse(text).error().code == Errc::invalid_argument);
    }
    CHECK(Network::parse_list("").value().empty());
    CHECK(Network::parse_list(" , ").value().empty());
    CHECK_FALSE(Network::parse_list("127.0.0.0/8,oops"));
}
