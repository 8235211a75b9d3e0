# Compiles the sources that a target has in one folder as one unit, because most of the time of a small file goes into
# its headers. The presets of tools/demo and tools/check turn it on. Off (cmake --preset default -DGLASSBOX_MERGE=OFF),
# each file is a unit, which is quicker after a change of one file.
# `tools/check alone` shows that every file stands alone.
option(GLASSBOX_MERGE "Compile the sources that a target has in a folder as one unit" OFF)

# Names in an anonymous namespace meet in a merged unit. A file that has one in common with another of its folder
# (the compiler says "redefinition of") is compiled by itself: list it here, or give the name its own word. So is
# doctor_semaphore.cc: whether <sys/sdt.h> gives probes a semaphore is decided once a unit.
set(GLASSBOX_ALONE
  bpf/host_tracer.cc
  guest/trace/guest_tracer.cc
  net/config/dhcp.cc
  net/config/dhcpv6.cc
  net/link/guest_link.cc
  net/link/ip_input.cc
  net/netns/netns.cc
  net/tcp/tcp_connect.cc
  tests/unit/net/dns/dns_message_test.cc
  tests/unit/net/tcp/tcp_edges_test.cc
  tests/unit/net/tcp/tcp_pool_test.cc
  tests/unit/tools/bench/measure/fork_loop_test.cc
  tests/unit/tools/trace/path/cycle_states_test.cc
  tests/unit/tools/trace/path/hostile_guest_test.cc
  tests/unit/tools/trace/verdicts/wire_verdicts_test.cc
  tools/bench/measure/identity.cc
  tools/bench/stacks/relay.cc
  tools/lab/client.cc
  tools/lab/serve.cc
  tools/trace/doctor/doctor_semaphore.cc
  tools/trace/path/chain.cc
  tools/trace/path/flows.cc
  tools/trace/report/report_json.cc
  vmm/acpi/aml.cc
  vmm/boot/bzimage.cc
  vmm/cli/run_vm.cc
  vmm/kvm/cpuid.cc)

# gb_merge_folders(DIR): for all targets of DIR and of the folders below it.
function(gb_merge_folders dir)
  get_property(targets DIRECTORY ${dir} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(NOT type MATCHES "^(STATIC_LIBRARY|EXECUTABLE)$")
      continue()
    endif()
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
    get_target_property(sources ${target} SOURCES)
    foreach(source ${sources})
      cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${dir} NORMALIZE OUTPUT_VARIABLE path)
      cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE name)
      if(NOT name IN_LIST GLASSBOX_ALONE)
        cmake_path(GET name PARENT_PATH folder)
        string(MAKE_C_IDENTIFIER "${folder}" group)
        set_source_files_properties(${path} TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP ${group})
      endif()
    endforeach()
  endforeach()
  get_property(folders DIRECTORY ${dir} PROPERTY SUBDIRECTORIES)
  foreach(folder ${folders})
    gb_merge_folders(${folder})
  endforeach()
endfunction()
