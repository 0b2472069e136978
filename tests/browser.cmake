# Reports of the real program, opened in a browser; screenshots stay in BINARY_DIR/browser. Says SKIPPED where there
# is no browser. Variables: PROGRAM, SOURCE_DIR, BINARY_DIR.
set(out ${BINARY_DIR}/browser)
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code ERROR_VARIABLE errors OUTPUT_VARIABLE text)
  message(STATUS "${text}")
  if(NOT code EQUAL 0 AND NOT code EQUAL 77)
    message(FATAL_ERROR "${ARGV} ended with ${code}\n${errors}")
  endif()
endfunction()

file(MAKE_DIRECTORY ${out})
run(${PROGRAM} scan --full --rows 60 --out ${out}/llama-base)
run(${PROGRAM} scan ${SOURCE_DIR}/zoo/gpt2-mini --rows 20 --out ${out}/gpt2-mini)
run(${PROGRAM} compare-report ${out}/llama-base ${out}/gpt2-mini --out ${out}/comparison.html)
run(node ${SOURCE_DIR}/web/test/browser.mjs ${out} ${out}/llama-base/report.html ${out}/comparison.html)
