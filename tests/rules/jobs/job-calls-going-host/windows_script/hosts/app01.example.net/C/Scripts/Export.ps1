# to the share
Copy-Item .\out.csv \\FS01\Reports
